"""What every data set's tests ask of its references."""

from components.datasets import FaceDataset
from components.example_gen.checks import check_record
from components.record import RecordError


def reasons(builder: FaceDataset) -> dict[str, str]:
    """The reasons for quarantine by id; the rest must load, and be a record that ingestion takes."""
    builder.check()
    references, found = list(builder.references()), {}
    assert len({reference.id for reference in references}) == len(references)
    for reference in references:
        assert (reference.split is None) == (reference.problem is not None)
        try:
            check_record(builder.load(reference), builder.annotations)
        except RecordError as error:
            found[reference.id] = str(error)
    return found
