"""Score a folder with the official Cityscapes script; run by an interpreter that has cityscapesScripts.

python cityscapes_official.py FOLDER [DISTANCES.json]  ->  its averages and its CPU seconds as JSON

FOLDER/gt holds instanceIds, FOLDER/pred text files, and masks below. The distances are
{stem: {instance id: [metres, confidence]}}.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import cityscapesscripts.evaluation.evalInstanceLevelSemanticLabeling as official
from cityscapesscripts.evaluation.instances2dict import instances2dict

folder = Path(sys.argv[1]).absolute()
truths = sorted(map(str, (folder / "gt").glob("*_gtFine_instanceIds.png")))
stems = [os.path.basename(truth).removesuffix("_gtFine_instanceIds.png") for truth in truths]
args = official.args
args.predictionPath = str(folder / "pred")
args.JSONOutput, args.quiet, args.colorized = False, True, False

if len(sys.argv) > 2:
    distances = json.loads(Path(sys.argv[2]).read_text())
    instances = instances2dict(truths)
    for truth, stem in zip(truths, stems, strict=True):
        for instance in (instance for found in instances[truth].values() for instance in found):
            instance["medDist"], instance["distConf"] = distances[stem][str(instance["instID"])]
    args.distanceAvailable = True

with tempfile.TemporaryDirectory() as temporary:
    os.chdir(temporary)  # it writes what it matched into the working directory
    args.gtInstancesFile = os.path.join(temporary, "instances.json")
    if args.distanceAvailable:
        Path(args.gtInstancesFile).write_text(json.dumps(instances))
    began = time.process_time()
    predictions = [str(folder / "pred" / f"{stem}.txt") for stem in stems]
    averages = official.evaluateImgLists(predictions, truths, args)["averages"]
    seconds = time.process_time() - began
    os.chdir("/")
print(json.dumps({"averages": averages, "seconds": seconds}))
