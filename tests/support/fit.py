"""As a script: trains, and may be killed on the way. Arguments: files, experiment, outputs, tasks."""

import pathlib
import sys

from components.config import from_json
from components.systems.ifan.config import HybridTraining
from tests.support import tiny_faces

if __name__ == "__main__":
    files, experiment, outputs, tasks = sys.argv[1:]
    HybridTraining.RECIPE = "tests.support.tiny_tasks.WatchedHybrid"
    tiny_faces.fit(
        from_json(experiment), pathlib.Path(outputs), tiny_faces.files_in(pathlib.Path(files)), from_json(tasks)
    )
