"""A metric's combiner as Beam uses it."""

import pickle

from components.tasks.summed_metric import error_of


def combined(computation, records) -> dict:
    """{metric: value} of records' sums, added up in three parts, one of them empty, after a trip through pickle.

    Without standard errors: the records are all of one part.
    """
    combine = pickle.loads(pickle.dumps(computation.combiner))
    cut = len(records) // 3
    parts = []
    for part in (records[:cut], records[cut:], []):
        total = combine.create_accumulator()
        for one in part:
            total = combine.add_input(total, (0, one))
        parts.append(total)
    found = combine.extract_output(combine.merge_accumulators(parts))
    return {key.name: value for key, value in found.items() if error_of(key.name) is None}
