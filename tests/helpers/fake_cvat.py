"""A small CVAT server: the REST API as cvat-sdk 2.80 calls it, with CVAT's own rules of import and export.

Written from what the SDK sends and from shared/design/formats.md; it runs in a thread that ends with its owner.
"""

from __future__ import annotations

import io
import json
import re
import threading
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import av

from tests.helpers import fake_cvat_rest as rest
from tests.helpers.fake_cvat_formats import Mask, exported, jobs_of, take_annotations, unknown_label
from tests.reference.cvat_jobs import Track

TOKEN = "s3cret-t0ken"
JOBS = 1000  # as many jobs a task has at most; the number of a job tells its task
NOW = "2026-01-01T00:00:00Z"
Trouble = Callable[
    [str, str], int | bytes | None
]  # by method and path: a status to fail with, or a page of a proxy


@dataclass
class FakeTask:
    """A task as the server has it."""

    spec: dict[str, Any]
    frames: list[int] = field(default_factory=list)  # absolute numbers
    names: list[str] = field(default_factory=list)  # of images
    size: tuple[int, int] = (0, 0)  # (H, W)
    data: dict[str, str] = field(default_factory=dict)  # what the upload said
    tracks: list[Track] = field(default_factory=list)  # of every job
    masks: list[Mask] = field(default_factory=list)  # in a video, where each stands alone
    images: dict[str, list[str]] = field(default_factory=dict)  # shapes by image, as they came
    deleted: set[int] = field(default_factory=set)  # frames
    imports: int = 0


class FakeCvat:
    """The server; use it in a `with`."""

    def __init__(self) -> None:
        self.tasks: dict[int, FakeTask] = {}
        self.projects: dict[int, dict[str, Any]] = {}
        self.log: list[str] = []  # method and path of every request
        self.ends: dict[str, dict[str, Any]] = {}  # background requests by id
        self.files: dict[str, bytes] = {}
        self.uploads: dict[str, bytearray] = {}
        self.trouble: Trouble = lambda method, path: None
        self.said = ""  # what it says to trouble, beside the token
        owner = self

        class Handler(_Handler):
            server_owner = owner

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FakeCvat:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def labels_of(self, task: FakeTask) -> list[dict[str, Any]]:
        """The labels of a task, or of its project."""
        number = task.spec.get("project_id")
        return task.spec.get("labels", []) if number is None else self.projects[number].get("labels", [])

    def annotations(self, number: int) -> dict[str, Any]:
        """What is annotated in a task, as the API tells it."""
        task = self.tasks[number]
        if not task.frames:
            return {"version": 0, "tags": [], "shapes": [], "tracks": []}
        kind = "CVAT for images 1.1" if task.names else "CVAT for video 1.1"
        return rest.as_json(exported(number, task, kind), self.labels_of(task), task.frames)

    def annotate(self, number: int, content: dict[str, Any]) -> None:
        """Put what is sent by the API in the place of what is annotated in a task."""
        task = self.tasks[number]
        file = rest.as_xml(content, self.labels_of(task), task.frames, task.names)
        assert take_annotations(task, file, "CVAT 1.1") == ""

    def about_task(self, number: int) -> dict[str, Any]:
        task = self.tasks[number]
        project = task.spec.get("project_id")
        return {
            "id": number,
            "name": task.spec["name"],
            "mode": "annotation" if task.names else "interpolation",
            "size": len(task.frames),
            "overlap": task.spec.get("overlap"),
            "data_chunk_size": len(task.frames),
            "data_original_chunk_type": "imageset" if task.names else "video",
            "updated_date": NOW,
            "segment_size": task.spec.get("segment_size") or len(task.frames),
            "project_id": project,
            "organization": None if project is None else self.projects[project].get("organization"),
            "jobs": {"completed": 0, "validation": 0, "count": 1, "url": ""},
            "labels": {"url": ""},
        }

    def end(self, result_url: str | None = None, failure: str = "", kind: str = "import") -> str:
        """A background request that has ended; its id."""
        number = f"rq-{len(self.ends)}"
        self.ends[number] = {
            "status": "failed" if failure else "finished",
            "message": failure,
            "id": number,
            "operation": {"type": kind, "target": "task"},
            "created_date": NOW,
            "result_url": result_url,
        }
        return number


class _Handler(BaseHTTPRequestHandler):
    server_owner: FakeCvat
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _go(self) -> None:
        owner, parts = self.server_owner, urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        owner.log.append(f"{self.command} {parts.path}")
        trouble = owner.trouble(self.command, parts.path)
        if isinstance(trouble, bytes):
            return self._send_bytes(trouble, 502, {"Content-Type": "text/html"})
        if trouble:
            return self._send(
                trouble, {"detail": f"trouble with {self.headers.get('Authorization')}{owner.said}"}
            )
        if parts.path.startswith("/files/"):
            return self._send_bytes(owner.files[parts.path])
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._send(401, {"detail": "Invalid token."})
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        task = re.match(r"/api/tasks/(\d+)(/?)", parts.path)
        if task and int(task[1]) not in owner.tasks:
            return self._send(404, {"detail": "No Task matches the given query."})
        organization = owner.about_task(int(task[1]))["organization"] if task and task[2] else None
        if organization and self.headers.get("X-Organization") != f"team-{organization}":
            return self._send(403, {"detail": "You do not have permission to perform this action."})
        for pattern, method, answer in ROUTES:
            found = re.fullmatch(pattern, parts.path)
            if found and method == self.command:
                return answer(self, owner, query, body, *map(int, found.groups()))
        return self._send(404, {"detail": "Not found."})

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = do_HEAD = _go

    def _send(self, status: int, content: Any = None, headers: dict[str, str] | None = None) -> None:
        self._send_bytes(b"" if content is None else json.dumps(content).encode(), status, headers)

    def _send_bytes(self, content: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(content))} | (headers or {})
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    # ---- who, projects, tasks

    def self_(self, owner: FakeCvat, query: dict[str, str], body: bytes) -> None:
        self._send(200, {"username": "annotator", "groups": []})

    def project_list(self, owner: FakeCvat, query: dict[str, str], body: bytes) -> None:
        found = [
            _project(k, each) for k, each in owner.projects.items() if query.get("search", "") in each["name"]
        ]
        self._send(200, {"count": len(found), "next": None, "previous": None, "results": found})

    def project_make(self, owner: FakeCvat, query: dict[str, str], body: bytes) -> None:
        number = len(owner.projects) + 1
        owner.projects[number] = json.loads(body)
        self._send(201, _project(number, owner.projects[number]))

    def project(self, owner: FakeCvat, query: dict[str, str], body: bytes, number: int) -> None:
        if number not in owner.projects:
            return self._send(404, {"detail": "Not found."})
        self._send(200, _project(number, owner.projects[number]))

    def labels(self, owner: FakeCvat, query: dict[str, str], body: bytes) -> None:
        if "task_id" in query:
            found = owner.labels_of(owner.tasks[int(query["task_id"])])
        else:
            found = owner.projects[int(query["project_id"])].get("labels", [])
        results = rest.numbered(found)
        self._send(200, {"count": len(results), "next": None, "previous": None, "results": results})

    def organization(self, owner: FakeCvat, query: dict[str, str], body: bytes, number: int) -> None:
        about = {"slug": f"team-{number}", "name": "Team", "description": "", "created_date": NOW}
        about |= {"updated_date": NOW, "contact": {}, "owner": {"id": 1, "username": "a", "url": ""}}
        self._send(200, {"id": number} | about)

    def task_make(self, owner: FakeCvat, query: dict[str, str], body: bytes) -> None:
        number = max(owner.tasks, default=0) + 1
        spec = json.loads(body)
        organization = owner.projects.get(spec.get("project_id"), {}).get("organization")
        if organization and self.headers.get("X-Organization") != f"team-{organization}":
            return self._send(400, {"detail": "The task and its project should be in the same organization."})
        owner.tasks[number] = FakeTask(spec)
        self._send(201, owner.about_task(number))

    def task(self, owner: FakeCvat, query: dict[str, str], body: bytes, number: int) -> None:
        self._send(200, owner.about_task(number))

    def task_remove(self, owner: FakeCvat, query: dict[str, str], body: bytes, number: int) -> None:
        del owner.tasks[number]
        self._send(204)

    def meta(self, owner: FakeCvat, query: dict[str, str], body: bytes, number: int) -> None:
        task = owner.tasks[number]
        size = {"width": task.size[1], "height": task.size[0]}
        frames = [{"name": name, "related_files": 0} | size for name in task.names or ["drive.mp4"]]
        about = {"size": len(task.frames), "start_frame": task.frames[0], "stop_frame": task.frames[-1]}
        about |= {"frame_filter": task.data.get("frame_filter", ""), "image_quality": 70, "chunk_size": None}
        about |= {"chunks_updated_date": NOW, "chapters": None, "frames": frames}
        self._send(200, about | {"deleted_frames": [task.frames.index(k) for k in sorted(task.deleted)]})

    # ---- uploads

    def data(self, owner: FakeCvat, query: dict[str, str], body: bytes, number: int) -> None:
        if "Upload-Start" in self.headers:
            return self._send(202)
        fields = _multipart(self.headers["Content-Type"], body)
        if "Upload-Multiple" in self.headers:
            for name, (file, content) in fields.items():
                if name.startswith("client_files"):
                    owner.uploads[f"data {number} {Path(file).name}"] = bytearray(content)
            return self._send(200)
        if "Upload-Finish" in self.headers:
            _take_data(owner, number, {name: content.decode() for name, (_, content) in fields.items()})
            return self._send(202, {"rq_id": owner.end(kind="create")})
        self._send(400)

    def annotations_send(self, owner: FakeCvat, query: dict[str, str], body: bytes, number: int) -> None:
        self._take(owner, query, "tasks", number, number, None)

    def job_annotations_send(self, owner: FakeCvat, query: dict[str, str], body: bytes, number: int) -> None:
        self._take(owner, query, "jobs", number, *divmod(number, JOBS))

    def _take(
        self, owner: FakeCvat, query: dict[str, str], kind: str, number: int, of_task: int, job: int | None
    ) -> None:
        if "Upload-Start" in self.headers:
            return self._send(202)
        key = f"/api/{kind}/{number}/annotations/upload"
        if "Upload-Finish" in self.headers:
            content, task = bytes(owner.uploads.pop(key)), owner.tasks[of_task]
            known = {label["name"] for label in owner.labels_of(task)}
            failure = unknown_label(content, known) or take_annotations(task, content, query["format"], job)
            return self._send(202, {"rq_id": owner.end(failure=failure)})
        owner.uploads[key] = bytearray()
        self._send(201, headers={"Location": owner.url + key, "Upload-Filename": "cvat.xml"})

    def annotations_chunk(self, owner: FakeCvat, query: dict[str, str], body: bytes, number: int) -> None:
        upload = owner.uploads[urlsplit(self.path).path]
        assert int(self.headers["Upload-Offset"]) == len(upload)
        upload += body
        self._send(204, headers={"Upload-Offset": str(len(upload))})

    def jobs(self, owner: FakeCvat, query: dict[str, str], body: bytes) -> None:
        number = int(query["task_id"])
        task = owner.tasks[number]
        results = [
            {
                "id": number * JOBS + k,
                "task_id": number,
                "start_frame": task.frames.index(frames[0]),
                "stop_frame": task.frames.index(frames[-1]),
                "type": "annotation",
                "issues": {"url": "", "count": 0},
                "labels": {"url": ""},
            }
            for k, frames in enumerate(jobs_of(task).frames)
        ]
        self._send(200, {"count": len(results), "next": None, "previous": None, "results": results})

    # ---- what comes back

    def annotations(self, owner: FakeCvat, query: dict[str, str], body: bytes, number: int) -> None:
        self._send(200, owner.annotations(number))

    def annotations_put(self, owner: FakeCvat, query: dict[str, str], body: bytes, number: int) -> None:
        owner.annotate(number, json.loads(body))
        self._send(200, owner.annotations(number))

    def annotations_add(self, owner: FakeCvat, query: dict[str, str], body: bytes, number: int) -> None:
        assert query["action"] == "create"
        content, added = owner.annotations(number), json.loads(body)
        for kind in ("tracks", "shapes"):
            content[kind] += added.get(kind) or []
        owner.annotate(number, content)
        self._send(200, owner.annotations(number))

    def chunk(self, owner: FakeCvat, query: dict[str, str], body: bytes, number: int) -> None:
        assert (query["type"], query["number"], query["quality"]) == ("chunk", "0", "original")
        names = owner.tasks[number].names
        images = [bytes(owner.uploads[f"data {number} {name}"]) for name in names]
        self._send_bytes(rest.chunk(names, images), headers={"Content-Type": "application/zip"})

    def export(self, owner: FakeCvat, query: dict[str, str], body: bytes, number: int) -> None:
        assert (query["save_images"], query["location"]) == ("False", "local")
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("annotations.xml", exported(number, owner.tasks[number], query["format"]))
        path = f"/files/{len(owner.files)}"
        owner.files[path] = content.getvalue()
        self._send(202, {"rq_id": owner.end(result_url=owner.url + path, kind="export")})

    def request(self, owner: FakeCvat, query: dict[str, str], body: bytes, number: int) -> None:
        self._send(200, owner.ends[f"rq-{number}"])


ROUTES: list[tuple[str, str, Callable[..., None]]] = [
    ("/api/users/self", "GET", _Handler.self_),
    ("/api/projects", "GET", _Handler.project_list),
    ("/api/projects", "POST", _Handler.project_make),
    (r"/api/projects/(\d+)", "GET", _Handler.project),
    ("/api/labels", "GET", _Handler.labels),
    (r"/api/organizations/(\d+)", "GET", _Handler.organization),
    ("/api/tasks", "POST", _Handler.task_make),
    (r"/api/tasks/(\d+)", "GET", _Handler.task),
    (r"/api/tasks/(\d+)", "DELETE", _Handler.task_remove),
    (r"/api/tasks/(\d+)/data/", "POST", _Handler.data),
    (r"/api/tasks/(\d+)/data/meta", "GET", _Handler.meta),
    (r"/api/tasks/(\d+)/annotations/", "POST", _Handler.annotations_send),
    (r"/api/(?:tasks|jobs)/(\d+)/annotations/upload", "PATCH", _Handler.annotations_chunk),
    ("/api/jobs", "GET", _Handler.jobs),
    (r"/api/jobs/(\d+)/annotations/", "POST", _Handler.job_annotations_send),
    (r"/api/tasks/(\d+)/annotations/", "GET", _Handler.annotations),
    (r"/api/tasks/(\d+)/annotations/", "PUT", _Handler.annotations_put),
    (r"/api/tasks/(\d+)/annotations/", "PATCH", _Handler.annotations_add),
    (r"/api/tasks/(\d+)/data/?", "GET", _Handler.chunk),
    (r"/api/tasks/(\d+)/dataset/export", "POST", _Handler.export),
    (r"/api/requests/rq-(\d+)", "GET", _Handler.request),
]


def _project(number: int, spec: dict[str, Any]) -> dict[str, Any]:
    about = {"id": number, "name": spec["name"], "tasks": {}, "labels": {"url": ""}}
    return about | {"organization": spec.get("organization")}


def _multipart(kind: str, body: bytes) -> dict[str, tuple[str, bytes]]:
    """The fields of a form: by name the name of the file and the content."""
    if not body or "boundary=" not in kind:
        return {name: ("", str(value).encode()) for name, value in json.loads(body or b"{}").items()}
    fields = {}
    for part in body.split(b"--" + kind.split("boundary=")[1].encode())[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        about = head.decode()
        name = re.search(r'name="([^"]*)"', about)
        file = re.search(r'filename="([^"]*)"', about)
        assert name
        fields[name[1]] = (file[1] if file else "", content.removesuffix(b"\r\n"))
    return fields


def _take_data(owner: FakeCvat, number: int, fields: dict[str, str]) -> None:
    """Count the frames of what was uploaded, as decoded."""
    task, prefix = owner.tasks[number], f"data {number} "
    task.data = fields
    files = {
        name.removeprefix(prefix): bytes(c) for name, c in owner.uploads.items() if name.startswith(prefix)
    }
    if all(name.endswith((".png", ".jpg")) for name in files):
        task.names = sorted(files)
        task.frames = list(range(len(files)))
        task.images = {name: [] for name in task.names}
    for content in files.values():
        with av.open(io.BytesIO(content)) as container:
            decoded = 0
            for frame in container.decode(video=0):
                task.size = (frame.height, frame.width)
                decoded += 1
        if not task.names:
            step = int(fields.get("frame_filter", "step=1").removeprefix("step="))
            stop = min(int(fields.get("stop_frame", 0)) or decoded - 1, decoded - 1)  # 0 is no stop to CVAT
            task.frames = list(range(int(fields.get("start_frame", 0)), stop + 1, step))
