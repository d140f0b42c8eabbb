"""``--steps auto`` and ``--members auto`` on a tiny model: answers are those of fixed settings, and are recorded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from latentdepth.adaptive import doubled, shortfall
from latentdepth.auto import OWN_FILE, Settings, Thresholds, read_settings, tolerance, write_settings
from latentdepth.core.complexity import Calibration
from latentdepth.core.controllers import StepRule
from latentdepth.loading import load
from latentdepth.models.diffusion import DiffusionModel
from latentdepth.models.others.one_pass import refuse_diffusion_options
from latentdepth.options import PredictOptions
from latentdepth.predictor import DiffusionPredictor


@pytest.fixture(scope="module")
def predictor(tiny_folder: Path) -> DiffusionPredictor:
    loaded = load(f"dir:{tiny_folder}", device="cpu", dtype="float32")
    assert isinstance(loaded, DiffusionPredictor)
    return loaded


def photo(seed: int = 0) -> torch.Tensor:
    return torch.rand(1, 3, 40, 56, generator=torch.Generator().manual_seed(seed))


def with_settings(predictor: DiffusionPredictor, **changed: Any) -> DiffusionPredictor:
    return DiffusionPredictor(predictor.model, predictor.name, replace(predictor.adaptive, **changed))


def test_doubling_stops_at_a_fixed_answer_and_records_it(predictor: DiffusionPredictor):
    found = predictor(photo(), PredictOptions(steps="auto", target="99%"))
    torch.testing.assert_close(found.value, predictor(photo(), PredictOptions(steps=2)).value, atol=0, rtol=0)
    made = found.made_with
    assert (made["steps"], made["network_calls"], made["controller"], made["target"]) == (2, 2, "doubling", "99%")
    assert made["target_met"] is True
    assert shortfall(made) == ""


def test_the_first_answer_of_doubling_is_the_one_step_answer(predictor: DiffusionPredictor):
    with torch.inference_mode():
        stages = predictor.stages(photo(), predictor.plan(PredictOptions()))
        value, spent = next(doubled(stages, 0, 8))
    fixed = predictor.members(photo(), predictor.plan(PredictOptions(steps=1)))
    torch.testing.assert_close(value[None], fixed, atol=0, rtol=0)
    assert (spent.steps, spent.calls, spent.change) == (1, 1, None)


def test_a_target_out_of_reach_says_what_was_reached(predictor: DiffusionPredictor):
    found = predictor(photo(), PredictOptions(steps="auto", members="auto", target="0.0001%"))
    most = predictor(photo(), PredictOptions(steps=8, members=12))
    # members are drawn in twos here and together there: kernels sum in another order
    torch.testing.assert_close(found.value, most.value, atol=2e-3, rtol=0)
    assert (found.made_with["steps"], found.made_with["members"]) == (8, 12)
    assert found.made_with["network_calls"] == 12 + 11 * 8  # doubling on member 0, its 8 steps for the others
    line = shortfall(found.made_with)
    assert "8 steps and 12 members" in line
    assert f"the standard error is {found.made_with['standard_error']:.2%}, not below 0.00%" in line


def test_one_step_at_most_leaves_nothing_to_compare(predictor: DiffusionPredictor):
    found = with_settings(predictor, most_steps=1)(photo(), PredictOptions(steps="auto"))
    assert "nothing to compare" in shortfall(found.made_with)


def test_members_stop_early_and_are_the_first_ones(predictor: DiffusionPredictor):
    found = predictor(photo(), PredictOptions(members="auto", target="90%", steps=2))
    fixed = predictor(photo(), PredictOptions(members=4, steps=2))
    torch.testing.assert_close(found.value, fixed.value, atol=2e-3, rtol=0)  # batches of 1 + 3 against 4
    assert found.uncertainty is not None
    assert (found.made_with["members"], found.made_with["network_calls"]) == (4, 8)
    assert isinstance(found.made_with["standard_error"], float)


def test_convergence_stops_on_x0(predictor: DiffusionPredictor):
    found = predictor(photo(), PredictOptions(steps="auto", controller="convergence", target="99%", members=2))
    stages = predictor.stages(photo(), predictor.plan(PredictOptions()))
    with torch.inference_mode():
        t = torch.tensor([predictor.model.schedule.timesteps(8)[0]])
        first = stages.denoise(stages.start([0]), t, torch.tensor([0]))
    assert bool(torch.isfinite(stages.values(first)).all())
    assert found.made_with["steps"] == 2  # two calls are the least that can be compared
    assert found.made_with["network_calls"] == 4
    long = predictor(photo(), PredictOptions(steps="auto", controller="convergence", target="0.0001%"))
    # the folder's last level holds 0.04 % of noise (set_alpha_to_one false), which x0 has not
    torch.testing.assert_close(long.value, predictor(photo(), PredictOptions(steps=8)).value, atol=0.05, rtol=0)


def test_the_rule_shares_batches_and_no_photo_sees_another(predictor: DiffusionPredictor):
    flat = torch.linspace(0.2, 0.8, 56).expand(1, 3, 40, 56)
    both = torch.cat((photo(1), flat, photo(2)))
    rule = StepRule(Calibration((1e-4, 1e-3), (0.0, 8.0)), least=1, most=4)
    ruled = with_settings(predictor, rule=rule)
    options = PredictOptions(steps="auto", controller="rule")
    together = ruled(both, options)
    assert together.made_with["steps"] == "4,1,4"
    assert "target" not in together.made_with
    for k, steps in enumerate((4, 1, 4)):
        fixed = predictor(both[k : k + 1], PredictOptions(steps=steps))
        torch.testing.assert_close(together.value[k : k + 1], fixed.value, atol=2e-3, rtol=0)  # batch of 2 against 1


def test_photos_together_equal_photos_alone(predictor: DiffusionPredictor):
    both = torch.cat((photo(1), photo(2)))
    for controller in ("doubling", "convergence"):
        options = PredictOptions(steps="auto", controller=controller, members="auto", target="20%")
        together, alone = predictor(both, options), predictor(both[1:], options)
        torch.testing.assert_close(together.value[1:], alone.value, atol=2e-3, rtol=0)  # batch sizes differ


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"target": "good"}, "neither steps nor members"),
        ({"target": "good", "steps": 2, "members": 3}, "neither steps nor members"),
        ({"controller": "rule"}, "give --steps auto"),
        ({"controller": "doubling", "members": "auto"}, "give --steps auto"),
    ],
)
def test_words_without_auto_are_refused(given: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        PredictOptions(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"steps": "auto", "target": "best"}, "rough, good, fine"),
        ({"members": "auto", "target": "0.01"}, "1.5%"),
        ({"members": "auto", "target": "0%"}, "above 0%"),
        ({"members": "auto", "target": "nan%"}, "above 0%"),
        ({"steps": "auto", "controller": "rule"}, "latentdepth calibrate"),
        ({"steps": "auto", "sampler": "one_step"}, "one_step"),
        ({"steps": "auto", "sampler": "lcm"}, "ddim sampler only"),
    ],
)
def test_what_cannot_be_left_to_the_photo_is_refused(
    predictor: DiffusionPredictor, given: dict[str, Any], message: str
):
    with pytest.raises(ValueError, match=message):
        predictor(photo(), PredictOptions(**given))


def test_the_rule_has_no_target(predictor: DiffusionPredictor):
    ruled = with_settings(predictor, rule=StepRule(Calibration((0.0, 1.0), (0.0, 8.0))))
    with pytest.raises(ValueError, match="leave the target out"):
        ruled(photo(), PredictOptions(steps="auto", controller="rule", target="fine"))


def test_members_that_are_all_the_same_are_refused(predictor: DiffusionPredictor):
    model = predictor.model
    zeros = DiffusionModel(model.unet, model.vae, model.schedule, model.prompt, replace(model.facts, start="zeros"))
    with pytest.raises(ValueError, match="draws no noise"):
        DiffusionPredictor(zeros, "zeros")(photo(), PredictOptions(members="auto"))


def test_one_pass_models_refuse_auto_with_a_reason():
    for options in (PredictOptions(steps="auto"), PredictOptions(members="auto")):
        with pytest.raises(ValueError, match="auto; this model answers in one forward pass"):
            refuse_diffusion_options(options)


def test_settings_survive_the_folder(tmp_path: Path, tiny_folder: Path):
    assert read_settings(tmp_path) == Settings()
    settings = Settings(
        controller="convergence",
        members=Thresholds(0.3, 0.2, 0.1),
        rule=StepRule(Calibration((1e-4, 1e-2), (3.0, 7.5)), energy_share=0.5, most=8),
        calibrated_on="40 frames",
    )
    write_settings(settings, tmp_path)
    assert read_settings(tmp_path) == settings
    assert tolerance("good", settings.members) == 0.2
    assert tolerance(" 1.5% ", settings.members) == pytest.approx(0.015)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "mend it"),
        ('{"most_step": 3}', "did you mean most_steps"),
        ('{"members": {"rough": 0.1, "good": 0.2, "fine": 0.05}}', "may not rise"),
        ('{"least_members": 1}', "1 to 12"),
    ],
)
def test_a_damaged_calibration_names_its_file(tmp_path: Path, content: str, message: str):
    (tmp_path / OWN_FILE).write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_settings(tmp_path)
    assert str(tmp_path / OWN_FILE) in str(caught.value)
