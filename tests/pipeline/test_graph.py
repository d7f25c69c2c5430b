"""What the pipeline refuses to build."""

from dataclasses import replace

import pytest

from pipeline import experiments
from pipeline.graph import Places, create_pipeline


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("mgg_net/celeb_a-tiny", {"parsing": True}, "'celeb_a' has no parsing: set parsing=False"),
        ("dml_csr/lapa-tiny", {"attributes": True}, "'lapa' has no attributes: set attributes=False"),
    ],
)
def test_a_task_without_labels(tmp_path, name, changes, message):
    base = experiments.get(name)
    places = Places(source="", fingerprint="", root=str(tmp_path), serving=str(tmp_path), reports=str(tmp_path))
    with pytest.raises(ValueError, match=message):
        create_pipeline("faces", name, replace(base, data=replace(base.data, **changes)), places)
