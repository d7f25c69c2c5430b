"""RunReport: what it does."""

from __future__ import annotations

import os

from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils

from components.config import from_json
from components.pusher import holds_model
from components.report.card import card
from components.report.collect import collect
from components.report.data_card import data_card
from components.report.run_page import parts_of, results_json, run_page
from components.report.tensorboard import write_summaries

PAGE, RESULTS, SUMMARIES = "index.html", "results.json", "tensorboard"
CARD, DATA_CARD = "model_card.md", "data_card.md"


class Executor(base_executor.BaseExecutor):
    """Collects, renders, writes."""

    def Do(self, input_dict, output_dict, exec_properties) -> None:
        """Writes index.html, results.json, model_card.md and data_card.md, as an artifact and into the destination.

        The artifact has a folder for TensorBoard as well; the model card lies beside the pushed model, too.
        """
        inputs = {name: artifact_utils.get_single_instance(found) for name, found in input_dict.items() if found}
        experiment = from_json(exec_properties["experiment"])
        identity = {key: exec_properties[key] for key in ("commit", "run")}
        artifacts = collect(exec_properties["name"], experiment, inputs, **identity)
        parts = parts_of(artifacts)
        page = run_page(artifacts, parts).render()
        cards = {CARD: card(artifacts), DATA_CARD: data_card(artifacts)}
        results = results_json(artifacts, parts, report=os.path.join(exec_properties["destination"], PAGE))
        uri = artifact_utils.get_single_uri(output_dict["report"])
        write_summaries(artifacts, os.path.join(uri, SUMMARIES))
        for folder in (uri, exec_properties["destination"]):
            fileio.makedirs(folder)
            io_utils.write_string_file(os.path.join(folder, PAGE), page)
            io_utils.write_string_file(os.path.join(folder, RESULTS), results)
            for name, text in cards.items():
                io_utils.write_string_file(os.path.join(folder, name), text)
        pushed = artifacts.verdict.pushed_path
        if pushed and holds_model(pushed):  # a folder without one would be the newest version
            io_utils.write_string_file(os.path.join(pushed, "assets.extra", CARD), cards[CARD])
