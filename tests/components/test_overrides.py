"""Experiments changed from the command line: typed, and an error says what there is."""

import pytest

from components.config import to_json
from components.overrides import overridden, run_name, slug
from pipeline import experiments

DMM_CNN = experiments.get("dmm_cnn/celeb_a-tiny")
IFAN = experiments.get("ifan/3t-tiny")


def test_nothing_set_is_the_same():
    assert overridden(DMM_CNN, []) == DMM_CNN


@pytest.mark.parametrize(
    ("setting", "found", "expected"),
    [
        ("training.epochs=3", lambda e: e.training.epochs, 3),
        ("training.flip=false", lambda e: e.training.flip, False),
        ("training.learning_rate=0.01", lambda e: e.training.learning_rate, 0.01),
        ("training.learning_rate.peak=0.01", lambda e: e.training.learning_rate.kwargs["peak"], 0.01),
        ("training.warm_start=dmm_cnn/celeb_a", lambda e: e.training.warm_start, "dmm_cnn/celeb_a"),
        ("training.scale=0.9,1.1", lambda e: e.training.scale, (0.9, 1.1)),
        ("data.image_size=64,48", lambda e: e.data.image_size, (64, 48)),
        ("evaluation.slice_by=Smiling", lambda e: e.evaluation.slice_by, ("Smiling",)),
        ("model.backbone_width=32", lambda e: e.model.kwargs["backbone_width"], 32),
        ("model.objective_units=8,4", lambda e: e.model.kwargs["objective_units"], [8, 4]),
        ("model.backbone=resnet34", lambda e: e.model.kwargs["backbone"], "resnet34"),
        ("tasks.landmarks.weight=0.2", lambda e: e.task("landmarks").weight, 0.2),
        ("tasks.attributes.bar.at_least=0.7", lambda e: e.task("attributes").bar.at_least, 0.7),
        ("data.datasets.celeb_a.options.landmarks=true", lambda e: e.data.datasets[0].options["landmarks"], True),
        ("training.callbacks.AdaptiveThresholds.gamma=0.02", lambda e: e.training.callbacks[0].kwargs["gamma"], 0.02),
    ],
)
def test_a_value_has_its_fields_type(setting, found, expected):
    changed = overridden(DMM_CNN, [setting])
    assert found(changed) == expected and type(found(changed)) is type(expected)
    assert to_json(changed) != to_json(DMM_CNN)


def test_none_takes_a_value_away():
    lfwa = experiments.get("dmm_cnn/lfwa-tiny")
    assert lfwa.training.warm_start
    assert overridden(lfwa, ["training.warm_start=none"]).training.warm_start is None


def test_several_and_of_a_task_of_a_training():
    changed = overridden(IFAN, ["training.tasks.emotion.batch_size=12", "training.epochs=1"])
    assert [task.batch_size for task in changed.training.tasks] == [8, 24, 12]
    assert changed.training.epochs == 1


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("training.epoch=3", r"training\.epoch: there is no 'epoch', but epochs, optimizer"),
        ("tasks.smile.weight=1", r"there is no 'smile', but attributes, landmarks"),
        ("training.epochs=many", r"training\.epochs is of type int; received 'many'"),
        ("training.learning_rate=fast", r"is of type float or ObjectConfig; received 'fast'"),
        ("data.image_size=64", r"data\.image_size is 2 values of type int with a comma between them; received '64'"),
        ("model.path=keras_models.IFAN", r"model\.path can't be set\. model is made by .*model\.\w+=…, and another"),
        ("training.callbacks.AdaptiveThresholds=none", r"AdaptiveThresholds can't be set\. .* is made by components"),
        ("export=int8", r"export can't be set, but its parts can: export\.precision, export\.lite, export\.flip_"),
        ("tasks.landmarks=5", r"tasks\.landmarks can't be set\. Its fields can, such as tasks\.landmarks\.name"),
        (
            "training.optimizer=sgd",
            r"optimizer is of type ObjectConfig; received 'sgd'\. training\.optimizer is made by",
        ),
        ("training.flip=perhaps", r"is of type bool"),
        ("training.epochs.more=1", r"'more' leads nowhere"),
        ("training.epochs", r"A setting is path=value"),
        ("training.epochs=0", r"training\.epochs is 1 or more; received 0"),
        ("tasks.attributes.bar.metric=nme", r"mean_balanced_accuracy"),
    ],
)
def test_what_cannot_be_set(setting, message):
    with pytest.raises(ValueError, match=message):
        overridden(DMM_CNN, [setting])


def test_a_field_is_set_once():
    with pytest.raises(ValueError, match=r"training\.epochs is set twice"):
        overridden(DMM_CNN, ["training.epochs=1", "training.flip=false", "training.epochs=2"])


def test_the_slug_of_many_settings_is_short_and_its_own():
    names = [run_name("a/b", [f"model.field_{number}=1" for number in range(count)]) for count in (11, 12)]
    assert slug("a/b+x=1") == "a-b-x-1" and slug("a/b+x=1,2+y=") == "a-b-x-1-2-y-"
    assert len({slug(f"a/b+slice_by=Male{between}Young") for between in ",:;/ "}) == 5
    assert max(map(len, map(slug, names))) <= 140 and slug(names[0]) != slug(names[1])


def test_a_runs_name_tells_its_settings_in_one_order():
    assert run_name("a/b", []) == "a/b"
    assert run_name("a/b", ["y=2", "x=1"]) == run_name("a/b", ["x=1", "y=2"]) == "a/b+x=1+y=2"
