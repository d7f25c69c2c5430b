"""MGG-Net and DML-CSR through the real pipeline: branches for training stay behind, what they show does not."""

import pathlib
from dataclasses import replace

import pytest
import tensorflow as tf

from components.config import Export, configured
from pipeline import experiments
from tests.support.pipeline_runs import DATA_NODES, DRAWN, own, page, results, run, served, with_low_bars

pytestmark = pytest.mark.e2e
ATTENTIVE, PARSING = "e2e/attentive", "e2e/parsing"


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def attentive(output):
    """MGG-Net with DMM-CNN's callbacks."""
    mgg_net = experiments.get("mgg_net/synthetic")
    adaptive = experiments.get("mgg_net/celeb_a-adaptive-tiny").training.callbacks
    return run(
        replace(
            mgg_net,
            data=DRAWN,
            tasks=with_low_bars(mgg_net.tasks),
            model=replace(mgg_net.model, kwargs={"backbone": "resnet10", "backbone_width": 4}),
            training=replace(mgg_net.training, epochs=1, batch_size=8, precision="float32", callbacks=adaptive),
        ),
        output,
        ATTENTIVE,
    )


def test_what_a_network_attends_to_is_served_and_shown(attentive, output):
    assert attentive == DATA_NODES | own(ATTENTIVE)
    assert results(output, ATTENTIVE)["verdict"] == "blessed and pushed"
    model, _ = served(output, ATTENTIVE)
    assert not [v.name for v in model.weights.values() if v.name.startswith("gal_")]
    image = tf.io.encode_png(tf.zeros([50, 40, 3], tf.uint8))
    maps = model.signatures["attention"](image_bytes=image[None])
    assert maps["masks_block3"].shape == (1, 4, 4, 8) and maps["affinities_block4"].shape == (1, 8, 8)
    assert "block 3" in page(output, ATTENTIVE) and "block 4" in page(output, ATTENTIVE)
    files = list(pathlib.Path(results(output, ATTENTIVE)["places"]["logs"]).rglob("events*.attention"))
    tags = {v.tag for f in files for e in tf.compat.v1.train.summary_iterator(str(f)) for v in e.summary.value}
    assert {"masks/block3", "affinities/block4", "dead_masks/block3"} <= tags


@pytest.fixture(scope="module")
def parsed(attentive, output):
    """Which nodes ran for DML-CSR, with self-regulation, on the faces that are there already."""
    dml_csr = experiments.get("dml_csr/synthetic")
    (regulation,) = dml_csr.training.callbacks
    training = replace(
        dml_csr.training,
        epochs=2,
        batch_size=8,
        precision="float32",
        learning_rate=0.001,
        callbacks=(replace(regulation, kwargs={"first_epochs": 1, "cycle_epochs": 1}),),
    )
    parsing = replace(
        dml_csr,
        data=replace(DRAWN, image_size=(33, 33)),
        tasks=with_low_bars(dml_csr.tasks),
        model=configured(
            "keras_models.DMLCSR", num_classes=19, backbone_blocks=[1, 1, 1, 1], backbone_width=4, head_width=16
        ),
        training=training,
        export=Export(),  # bfloat16 costs two more networks and is tried in test_run_fn
    )
    return run(parsing, output, PARSING)


def test_face_parsing_goes_through_the_same_pipeline(parsed, output):
    """Other labels are prepared of the same records."""
    assert parsed == {"Transform"} | own(PARSING)
    found = results(output, PARSING)
    assert found["verdict"] == "blessed and pushed"
    assert found["figures"]["images tested"] == 16
    assert 0 < found["figures"]["parsing mean F1"] < 1
    assert set(found["parsing F1"]) >= {"background", "nose", "cloth"}
    assert "edges" in page(output, PARSING).lower()


def test_the_pushed_parsing_model_has_no_edges(parsed, output):
    folder = results(output, PARSING)["places"]["model"]
    assert not [name for name, _ in tf.train.list_variables(f"{folder}/variables/variables") if "edge" in name]
    model, shapes = served(output, PARSING)
    assert not [v.name for v in model.weights.values() if "edge" in v.name]
    assert shapes == {"parsing": (2, 50, 40)}
