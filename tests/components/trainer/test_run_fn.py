"""What TFX's Trainer calls."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.types import standard_artifacts
from tfx.utils import io_utils

from components.config import Export, Training, configured, from_json, to_json
from components.drift.reference import read_reference
from components.evaluator.config import eval_config
from components.faces.frame import Frame
from components.lite_evaluator import Executor, custom_eval_shared_model
from components.schema_gen.frames import write_frames
from components.serving.export import restore_trained
from components.serving.lite import LITE
from components.systems.branching.tree_file import read_tree
from components.tasks.base import learning_of
from components.trainer import run_fn as module
from components.trainer.inputs import example_images, sampled_images
from components.trainer.run_fn import TRAINING_FILE, _run_key, files_by_split, run_fn
from keras_models.branch_tree import BranchTree
from tests.support import serving, tiny_faces

pytestmark = pytest.mark.slow

TASKS = (tiny_faces.LIKELY, tiny_faces.CLOTHING)
SYSTEM = "components.systems.branching.system.BranchingSystem"
OUTPUTS = {"attributes": 6, "clothing": 3}
SHAPE = (*tiny_faces.SIZE, 3)


def test_a_warm_start_needs_a_model():
    config = {"experiment": to_json(tiny_faces.experiment(warm_start="dmm_cnn/celeb_a")), "tasks": to_json([])}
    with pytest.raises(ValueError, match=r"'dmm_cnn/celeb_a'.*no blessed one.*make run EXPERIMENT=dmm_cnn/celeb_a"):
        run_fn(FnArgs(custom_config=config, base_model=None))


def test_only_the_same_run_finds_its_checkpoints():
    config = {"experiment": to_json(tiny_faces.experiment()), "code_version": "a"}
    key = _run_key(config, "transform/7", "model/1")
    assert key == _run_key(dict(reversed(config.items())), "transform/7", "model/1")
    other = {**config, "experiment": to_json(tiny_faces.experiment(seed=4))}
    others = [(other, "transform/7", "model/1"), (config, "transform/8", "model/1"), (config, "transform/7", "model/2")]
    assert len({key, *(_run_key(*arguments) for arguments in others)}) == 4


def test_files_by_split(tmp_path):
    for split, shards in {"helen_train": 2, "mtfl_train": 1, "fer-2013_train": 0}.items():
        (tmp_path / f"Split-{split}").mkdir()
        for shard in range(shards):
            (tmp_path / f"Split-{split}" / f"data-{shard}.gz").touch()
    files = files_by_split([f"{tmp_path}/Split-{split}/*" for split in ("mtfl_train", "helen_train", "fer-2013_train")])
    assert {split: [name.removeprefix(f"{tmp_path}/") for name in names] for split, names in files.items()} == {
        "mtfl_train": ["Split-mtfl_train/data-0.gz"],
        "helen_train": ["Split-helen_train/data-0.gz", "Split-helen_train/data-1.gz"],
        "fer-2013_train": [],
    }


def test_files_of_no_split():
    with pytest.raises(ValueError, match=r"'/data/train/\*' should be the files of a split, \.\.\./Split-<name>/\*"):
        files_by_split(["/data/train/*"])


FRAMES = {"tiny": Frame(0.75, ((0.7, 0.5), (0.6, 0.5), (0.3, 0.5), (0.4, 0.5), (0.5, 0.7)))}


class Exported:
    """A run of `run_fn`: the exported model, what the recipe left, and what lies beside."""

    def __init__(self, experiment, folder, examples):
        folder.mkdir()
        schema = schema_pb2.Schema()
        write_frames(FRAMES, schema)
        io_utils.write_pbtxt_file(str(folder / "schema.pbtxt"), schema)
        self.images = example_images([str(path) for path in (examples / "Split-validation").iterdir()], 8)
        self.folder, self.checkpoints = folder / "model", folder / "checkpoints"
        run_fn(
            FnArgs(
                train_files=[f"{examples}/Split-train/*"],
                eval_files=[f"{examples}/Split-validation/*"],
                transform_output="transform/1",
                schema_path=str(folder / "schema.pbtxt"),
                serving_model_dir=str(self.folder),
                model_run_dir=str(folder),
                base_model=None,
                custom_config={
                    "experiment": to_json(replace(experiment, system=SYSTEM)),
                    "tasks": to_json(tiny_faces.bound(*experiment.tasks)),
                    "checkpoints": str(self.checkpoints),
                    "code_version": "a",
                },
            )
        )
        self.model = tf.saved_model.load(str(self.folder))
        self.training = json.loads((folder / TRAINING_FILE).read_text())

    def answers(self):
        return self.model.signatures["serving_default"](image_bytes=tf.constant(self.images))


def clothing_experiment(export, **training):
    """Clothing alone, by the plain recipe."""
    optimizer = configured("tensorflow.keras.optimizers.SGD")
    return replace(
        tiny_faces.widening_experiment(
            tasks=(tiny_faces.CLOTHING,),
            model=configured("tests.support.tiny_faces.tree_network", outputs={"clothing": 3}),
        ),
        training=Training(epochs=1, batch_size=8, optimizer=optimizer, **training),
        export=export,
    )


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """Images with attributes and clothing, as Transform leaves them."""
    folder = tmp_path_factory.mktemp("examples")
    for split, numbers in (("train", range(32)), ("validation", range(32, 48))):
        records = [tiny_faces.serialized(number, clothing=[number % 4 - 1]) for number in numbers]
        tiny_faces.write(folder / f"Split-{split}", records)
    return folder


@pytest.fixture(scope="module")
def widened(examples, tmp_path_factory):
    """A run of widening, and what its recipe left."""
    left = []

    def train(*args, train=module.train, **kwargs):
        left.append(train(*args, **kwargs))
        return left[-1]

    experiment = tiny_faces.widening_experiment(
        (configured("components.systems.dmm_cnn.adaptive.AdaptiveThresholds", gamma=0.1),),
        tasks=TASKS,
        model=configured("tests.support.tiny_faces.tree_network", outputs=OUTPUTS),
        epochs=1,
        widening_rate=0.01,
        learning_rate=0.01,
    )
    experiment = replace(experiment, export=Export(lite="float32"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "train", train)
        run = Exported(experiment, tmp_path_factory.mktemp("widened") / "run", examples)
    (trained,) = left
    return run, trained


def _scores(network, images):
    return network(tf.concat([serving.seen(image, tiny_faces.SIZE) for image in images], axis=0))


def test_a_widened_network_answers_as_it_was_trained(widened):
    run, trained = widened
    answers, expected = run.answers(), _scores(trained.network, run.images)
    for output, number in OUTPUTS.items():
        assert answers[output].shape == (8, number)
        np.testing.assert_allclose(answers[output], expected[output], atol=1e-4)
        assert np.ptp(expected[output], axis=0).max() > 1e-2
    thresholds = trained.tasks["attributes"].thresholds.numpy()
    assert np.ptp(thresholds) > 0
    np.testing.assert_array_equal(answers["attributes_decisions"], answers["attributes"] > thresholds)


def test_a_widened_network_is_served_without_batch_norm(widened):
    run, trained = widened
    operations = serving.operations(run.folder)
    assert "Conv2D" in operations
    assert not [name for name in operations if "BatchNorm" in name or "Rsqrt" in name]
    folded = sum(int(np.prod(variable.shape)) for variable in run.model.weights.values())
    assert folded == run.training["parameters"]
    # γ and β, mean and variance of each channel: a bias is what is left of them.
    channels = sum(layer.gamma.shape[0] for layer in trained.network.layers if layer.name.endswith("_bn"))
    assert folded == trained.network.count_params() - 3 * channels


def test_tensorflow_lite_in_the_networks_place_answers_alike(widened, examples):
    """With the thresholds that the run ended with."""
    run, _ = widened
    assert run.training["lite"]["bytes"] == (run.folder / LITE).stat().st_size
    (file,) = (examples / "Split-validation").iterdir()
    records = list(tf.data.TFRecordDataset(str(file), "GZIP"))
    config = eval_config(tiny_faces.bound(*TASKS))
    lite = custom_eval_shared_model(str(run.folder), model_name="", eval_config=config).model_loader.load()
    assert [layer.name for layer in lite.module.network.layers] == ["image", "interpreter"]
    found, expected = (model.signatures["from_examples"](examples=tf.stack(records)) for model in (lite, run.model))
    assert found.keys() == expected.keys() == {*OUTPUTS, "attributes_decisions", "image_status"}
    for output in OUTPUTS:
        np.testing.assert_allclose(found[output], expected[output], atol=1e-5)
    np.testing.assert_array_equal(found["attributes_decisions"], expected["attributes_decisions"])
    assert 0 < np.mean(found["attributes_decisions"]) < 1


def test_nothing_is_evaluated_where_there_is_no_file(widened, tmp_path):
    run, _ = widened
    model, evaluation = standard_artifacts.Model(), standard_artifacts.ModelEvaluation()
    model.uri, evaluation.uri = str(tmp_path), str(tmp_path / "evaluation")
    shutil.copytree(run.folder, tmp_path / "Format-Serving", ignore=shutil.ignore_patterns("*.tflite"))
    Executor().Do({"model": [model]}, {"evaluation": [evaluation]}, {})
    assert not (tmp_path / "evaluation").exists()


def test_what_the_served_model_sees_and_answers_lies_beside_it(widened, examples):
    run, _ = widened
    (values,) = (found := read_reference(str(run.folder))).values()
    assert list(found) == ["tiny"]
    images = sampled_images([str(path) for path in (examples / "Split-validation").iterdir()], 300)
    answers = run.model.signatures["serving_default"](image_bytes=tf.constant(images))
    for index, name in enumerate(tiny_faces.ATTRIBUTES):
        np.testing.assert_array_equal(values[f"attributes.{name}"], answers["attributes_decisions"][:, index])
    np.testing.assert_array_equal(values["clothing"], tf.argmax(answers["clothing"], axis=-1))
    assert values["image brightness"].shape == (16,)
    labels = {name for name in values if name.startswith("label ")}
    assert labels == {f"label attributes.{name}" for name in tiny_faces.ATTRIBUTES} | {"label clothing"}
    assert set(np.unique(values["label attributes.A"])) == {0, 1} and values["label clothing"].max() <= 2


def test_a_widened_networks_tree_lies_beside_it(widened):
    run, trained = widened
    assert read_tree(str(run.folder)) == trained.network.tree
    branching = run.training["branching"]
    assert BranchTree.from_json(json.dumps(branching["tree"])) == trained.network.tree
    assert len(trained.network.tree.of("fc")) > 1
    assert branching["tasks"] == ["A", "B", "C", "D", "E", "F", "coat", "dress", "hat"]
    assert [found["layer"] for found in branching["rounds"]] == ["fc", "conv2", "conv1"]
    assert np.shape(branching["rounds"][0]["affinity"]) == (9, 9)
    assert len(run.training["epochs"]) == 3 + 1
    (done,) = run.checkpoints.glob("*/done")
    module.remove_done(str(run.checkpoints), str(done.parent))
    assert done.exists(), "its own"
    module.remove_done(str(run.checkpoints), str(run.checkpoints / "another"))
    assert not list(run.checkpoints.rglob("*"))


def test_training_goes_on_from_a_widened_network(widened):
    """With its batch norm, and the thresholds; a network without its branches is another."""
    run, trained = widened
    network = tiny_faces.tree_network(SHAPE, outputs=OUTPUTS)
    tasks = {task.name: learning_of(task, tiny_faces.SIZE) for task in tiny_faces.bound(*TASKS)}
    with pytest.raises(ValueError, match="another architecture than the experiment's"):
        restore_trained(network, str(run.folder), tasks)
    network = network.rebuilt(tree=read_tree(str(run.folder)))
    restore_trained(network, str(run.folder), tasks)
    np.testing.assert_array_equal(tasks["attributes"].thresholds, trained.tasks["attributes"].thresholds)
    for restored, weight in zip(network.weights, trained.network.weights, strict=True):
        np.testing.assert_array_equal(restored, weight)


def test_tasks_travel_as_json():
    """As the Trainer component hands them over."""
    tasks = tiny_faces.bound(*TASKS)
    assert from_json(to_json(tasks)) == tasks


def test_a_tree_that_is_trained_by_the_plain_recipe(examples, tmp_path):
    """Of clothing alone: no thresholds, and nothing says how it came by its branches."""
    run = Exported(clothing_experiment(Export()), tmp_path / "run", examples)
    assert set(run.answers()) == {"clothing", "image_status"} and run.training["lite"] == {}
    contract = json.loads((run.folder / "assets.extra" / "contract.json").read_text())
    assert contract["signatures"]["serving_default"]["clothing"]["names"] == ["coat", "dress", "hat"]
    assert "branching" not in run.training
    assert read_tree(str(run.folder)) == BranchTree.unbranched(tiny_faces.TreeNetwork.LAYERS, 3)


def test_what_tensorflow_lite_can_not_express_costs_no_training(examples, tmp_path, monkeypatch, capsys):
    def refuse(network, image_size, precision):
        raise ValueError("TensorFlow Lite can't express this network: no Svd")

    monkeypatch.setattr(module, "convert", refuse)
    experiment = clothing_experiment(Export(lite="int8"))
    run = Exported(experiment, tmp_path / "run", examples)
    assert "no Svd" in run.training["lite"]["error"] and "no Svd" in capsys.readouterr().err
    assert not (run.folder / LITE).exists() and run.answers()


@pytest.mark.parametrize(
    ("kept", "strategy"), [(True, "get_strategy"), (False, "get_strategy"), (True, "MirroredStrategy")]
)
def test_bfloat16_is_kept_where_it_answers_as_well(kept, strategy, examples, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "alike", lambda exact, other: kept)
    strategy = configured(f"tensorflow:distribute.{strategy}")
    experiment = clothing_experiment(Export(precision="bfloat16"), strategy=strategy)
    run = Exported(experiment, tmp_path / "run", examples)
    precision = "bfloat16" if kept else "float32"
    contract = json.loads((run.folder / "assets.extra" / "contract.json").read_text())
    assert contract["precision"] == precision
    assert contract["frames"] == {"clothing": FRAMES["tiny"].to_json()}
    assert run.training["precision"]["served"] == precision
    found = run.training["precision"]["figures"]
    assert list(found) == ["float32", "bfloat16"]
    assert {name for each in found.values() for name in each} == {"clothing_accuracy"}
    told = capsys.readouterr().err
    assert f"Served in {'bfloat16 where that is faster' if kept else 'float32'}: float32 clothing_accuracy 0." in told
    assert set(run.answers()) == {"clothing", "image_status"}
