"""As a script: trains, and may be killed on the way. Arguments: files, experiment, outputs."""

import pathlib
import sys

from components.config import from_json
from tests.support import tiny_faces

if __name__ == "__main__":
    files, experiment, outputs = sys.argv[1:]
    tiny_faces.fit(from_json(experiment), pathlib.Path(outputs), tiny_faces.files_in(pathlib.Path(files)))
