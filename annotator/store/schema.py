"""Tables of the store, and what their values mean."""

FILE_NAME = "labels.sqlite"
SCHEMA_VERSION = 3
SCHEMA = """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE frames (
        frame_index INTEGER PRIMARY KEY,    -- 0-based, in decoded order
        pts INTEGER NOT NULL,               -- ticks of time_base
        time_base_numerator INTEGER NOT NULL, time_base_denominator INTEGER NOT NULL,  -- seconds per tick
        height INTEGER NOT NULL, width INTEGER NOT NULL,
        name TEXT NOT NULL                  -- file of an image folder, '' in a video
    );
    CREATE TABLE instances (
        frame_index INTEGER NOT NULL, position INTEGER NOT NULL,  -- position in score order within the frame
        class_id INTEGER NOT NULL,          -- Cityscapes id
        score REAL NOT NULL,
        counts BLOB NOT NULL,               -- COCO compressed RLE of the frame's size
        features BLOB NOT NULL,             -- D little-endian float16
        moved_x REAL, moved_y REAL,         -- pixels since the frame before; NULL = not known
        kind INTEGER NOT NULL DEFAULT 0,    -- FOUND, or what association made of it
        PRIMARY KEY (frame_index, position)
    );
    CREATE TABLE gaps (after_index INTEGER NOT NULL, pts INTEGER, reason TEXT NOT NULL);
    CREATE UNIQUE INDEX gaps_once ON gaps (after_index, ifnull(pts, ''), reason);
    CREATE TABLE tracks (
        frame_index INTEGER NOT NULL, position INTEGER NOT NULL, track_id INTEGER NOT NULL,
        PRIMARY KEY (frame_index, position)
    ) WITHOUT ROWID;
    CREATE UNIQUE INDEX tracks_by_id ON tracks (track_id, frame_index);
"""
# Kinds of instances. CARRIED ones were found before and after, and carried here by optical flow: to association they
# are found.
FOUND, LEFT_OUT, INTERPOLATED, RESHAPED, CARRIED, CARRIED_LEFT_OUT = range(6)
KINDS = frozenset(range(6))
MADE = (INTERPOLATED, RESHAPED)  # by association
LEFT_OUT_OF = {FOUND: LEFT_OUT, CARRIED: CARRIED_LEFT_OUT}
HIDDEN = tuple(LEFT_OUT_OF.values())  # in the labels
UNSEEN = (INTERPOLATED, CARRIED, CARRIED_LEFT_OUT)  # in their frame
FRAME_COLUMNS = "frame_index, pts, time_base_numerator, time_base_denominator, height, width, name"
