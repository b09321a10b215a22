import pytest

from SpineFractureSegLib.engine.training import TrainingConfig
from SpineFractureSegLib.engine.training.augmentation import Augmentation
from SpineFractureSegLib.engine.training.config import Balance


def test_defaults_are_the_papers_protocol():
    config = TrainingConfig()
    assert (config.learning_rate, config.batch_size, config.max_epochs) == (1e-3, 16, 150)
    assert (config.early_stopping_epochs, config.plateau_factor, config.schedule) == (5, 0.4, "plateau")
    assert config.split == (0.70, 0.10, 0.20)
    assert (config.weight_decay, config.ema_decay) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("learning_rate", 0.0),
        ("batch_size", 0),
        ("max_minutes", 0.0),
        ("ema_decay", 1.0),
        ("plateau_factor", 1.0),
        ("schedule", "linear"),
        ("precision", "float16"),
        ("observed_score", "vertebra_auc"),
        ("split", (0.7, 0.1, 0.1)),
        ("split", (1.2, -0.2, 0.0)),
        ("workers", -1),
    ],
)
def test_a_value_that_cannot_be_used_is_named_and_quoted(field, value):
    with pytest.raises(ValueError, match=field) as caught:
        TrainingConfig(**{field: value})
    assert field == "split" or str(value) in str(caught.value)


def test_the_last_weights_need_a_run_that_no_score_rules():
    assert TrainingConfig(observed_score="last", schedule="cosine", early_stopping_epochs=0).observed_score == "last"
    for ruled in ({"schedule": "plateau", "early_stopping_epochs": 0}, {"schedule": "cosine"}):
        with pytest.raises(ValueError, match="observed_score must be a score where it ends or slows the run, not last"):
            TrainingConfig(observed_score="last", **ruled)


def test_balance_and_augmentation_refuse_impossible_numbers():
    with pytest.raises(ValueError, match="balance"):
        Balance(fractured=0, intact=0, real_negative=0)
    with pytest.raises(ValueError, match="noise_chance"):
        Augmentation(noise_chance=1.5)
    with pytest.raises(ValueError, match="gain"):
        Augmentation(gain=(1.2, 0.8))
