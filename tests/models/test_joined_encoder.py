"""A student with a convolutional encoder beside a frozen transformer: its maps, what learns, and how it begins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from latentdepth.config import from_dict
from latentdepth.models.joined_encoder import JoinedEncoder
from latentdepth.models.student import Student, StudentFacts, folded, load_student
from latentdepth.train.config import TrainConfig
from latentdepth.train.loop_config import OptimConfig
from latentdepth.train.optim import make_optimiser, split_rates
from latentdepth.train.student_config import DistillOptions, StudentConfig, TransformerPart
from latentdepth.train.students import build_student, new_network

FACTS = StudentFacts(encoder="lite2", width=16)


def seen(network: Student, image: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return network.eval()(image).value


def freed(network: str, part: TransformerPart = "vectors") -> TrainConfig:
    """A recipe in which (that part of) the transformer learns at a tenth of the rate."""
    table = {"task": "distill", "base": {"kind": "nothing", "model": ""}, "data": [{"name": "a", "path": "a"}]}
    table |= {
        "student": {"network": network, "width": 16},
        "distill": {"transformer_rate": 0.1, "transformer_part": part},
    }
    return from_dict(TrainConfig, table)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lite2 student whose norms have seen something."""
    torch.manual_seed(0)
    network, folder = Student(FACTS), tmp_path_factory.mktemp("small")
    network(torch.rand(2, 3, 64, 64))
    network.save(folder)
    return folder


@pytest.fixture(scope="module")
def vits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    network, folder = Student(replace(FACTS, encoder="vits")), tmp_path_factory.mktemp("vits")
    network(torch.rand(2, 3, 64, 64))
    network.save(folder)
    return folder


def test_maps_nest():
    maps = JoinedEncoder("lite2").eval().with_stem(torch.rand(1, 3, 64, 96))
    assert [tuple(one.shape[2:]) for one in maps] == [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]
    assert [one.shape[1] for one in maps[1:]] == list(JoinedEncoder("lite2").channels)


@pytest.mark.parametrize("patch_px", [8, 12])
def test_finer_patches_see_smaller_things_on_maps_that_nest_alike(patch_px: int):
    torch.manual_seed(4)
    coarse, fine = JoinedEncoder("lite2").eval(), JoinedEncoder("lite2", patch_px).eval()
    fine.load_state_dict(coarse.state_dict())  # the weights are the same
    shown: list[tuple[int, ...]] = []
    fine.transformer.embeddings.patch_embeddings.register_forward_pre_hook(
        lambda _, given: shown.append(tuple(given[0].shape[2:]))
    )
    with torch.no_grad():
        maps, wide = fine.with_stem(torch.rand(1, 3, 96, 160)), coarse.with_stem(torch.rand(1, 3, 96, 160))
    assert [one.shape for one in maps] == [one.shape for one in wide]
    # 160 pixels are 13.3 patches of 12: as many as come nearest
    assert shown == [(192, 320) if patch_px == 8 else (128, 208)]


def test_it_begins_as_one_of_its_own_form_whatever_its_patches(tmp_path: Path):
    torch.manual_seed(5)
    Student(replace(FACTS, encoder="lite2+vits")).save(tmp_path)
    network = new_network(StudentConfig(network="lite2+vits", start=tmp_path, width=16, patch_px=12))
    assert isinstance(network, Student)
    assert network.facts == replace(FACTS, encoder="lite2+vits", patch_px=12)
    given = load_student(tmp_path).state_dict()
    assert all(torch.equal(tensor, given[name]) for name, tensor in network.state_dict().items())
    network.save(tmp_path / "finer")
    assert load_student(tmp_path / "finer").facts.patch_px == 12


def test_it_begins_with_the_small_students_answers_and_the_others_transformer(small: Path, vits: Path):
    network = new_network(StudentConfig(network="lite2+vits", start=small, encoder=vits, width=16))
    assert isinstance(network, Student)
    image = torch.rand(1, 3, 64, 96)
    # up to the order of sums, which more channels change
    torch.testing.assert_close(seen(network, image), seen(load_student(small), image), atol=1e-6, rtol=0)
    wanted = load_student(vits).encoder
    for part in ("transformer", "norms"):
        found, given = (getattr(one, part).state_dict() for one in (network.encoder, wanted))
        assert found.keys() == given.keys()
        assert all(torch.equal(found[name], given[name]) for name in given)


def test_all_but_the_transformer_learns_and_its_weights_count(small: Path, vits: Path):
    network = new_network(StudentConfig(network="lite2+vits", start=small, encoder=vits, width=16)).train()
    before = {name: tensor.clone() for name, tensor in network.named_parameters()}
    optimiser = torch.optim.Adam([one for one in network.parameters() if one.requires_grad], lr=1e-3)
    torch.manual_seed(3)
    image = torch.rand(2, 3, 64, 64)
    for _ in range(2):  # in the first the transformer's channels have no weight, so nothing before them is reached
        optimiser.zero_grad()
        network(image).value.square().mean().backward()
        optimiser.step()
    still = {name for name, tensor in network.named_parameters() if torch.equal(tensor, before[name])}
    assert {name for name in still if not name.startswith("encoder.transformer.")} == set()
    assert {name for name in before if name.startswith("encoder.transformer.")} <= still


def test_saved_folded_and_loaded_it_answers_the_same(tmp_path: Path):
    torch.manual_seed(2)
    network, image = Student(replace(FACTS, encoder="lite2+vits")), torch.rand(1, 3, 64, 64)
    network(torch.rand(2, 3, 64, 64))
    network.eval().save(tmp_path)
    loaded = load_student(tmp_path)
    torch.testing.assert_close(seen(loaded, image), seen(network, image), atol=0, rtol=0)
    # float32 rounding through about a hundred layers
    torch.testing.assert_close(seen(folded(loaded), image), seen(network, image), atol=1e-4, rtol=1e-3)


def test_what_does_not_fit_is_named(small: Path, vits: Path):
    with pytest.raises(
        ValueError, match=r"is a student with vits, 16 channels wide; wanted is lite2 or lite2\+vits with 16"
    ):
        new_network(StudentConfig(network="lite2+vits", start=vits, width=16))
    with pytest.raises(ValueError, match=r"16 channels wide; wanted is lite2 or lite2\+vits with 32"):
        new_network(StudentConfig(network="lite2+vits", start=small, width=32))
    with pytest.raises(ValueError, match="is a student with lite2; wanted is vits"):
        new_network(StudentConfig(network="lite2+vits", encoder=small, width=16))
    with pytest.raises(ValueError, match=r"student.start is for lite2\+vits, and this is vits"):
        StudentConfig(network="vits", start=small)
    with pytest.raises(ValueError, match=r"student.patch_px is for lite2\+vits, and this is vits"):
        StudentConfig(network="vits", patch_px=12)
    with pytest.raises(ValueError, match="patch_px is 12, and the encoder is lite2"):
        StudentFacts(encoder="lite2", patch_px=12)
    with pytest.raises(ValueError, match="patch_px is 20; allowed is 8 to 16"):
        StudentFacts(encoder="lite2+vits", patch_px=20)


@pytest.mark.parametrize("part", ["all", "vectors"])
def test_a_freed_transformer_learns_at_its_own_rate_and_its_embeddings_stay(part: TransformerPart):
    torch.manual_seed(6)
    task = build_student(freed("lite2+vits", part))
    weights = dict(task.network.named_parameters())
    before = {name: tensor.detach().clone() for name, tensor in weights.items()}
    optimiser = make_optimiser(OptimConfig(), [one for one in weights.values() if one.requires_grad])
    split_rates(optimiser, task.network, task.rates())
    for group in optimiser.param_groups:
        group["lr"] = 0.01 * group.get("share", 1.0)
    task.network.train()(torch.rand(2, 3, 64, 64)).value.square().mean().backward()
    optimiser.step()
    moved = {name: float((tensor.detach() - before[name]).abs().max()) for name, tensor in weights.items()}
    blocks, kept = "encoder.transformer.encoder.", ("encoder.transformer.embeddings.", "encoder.transformer.layernorm.")
    assert {name for name in moved if name.startswith("encoder.transformer.") and moved[name] == 0} == {
        name
        for name in moved
        if name.startswith(kept) or (name.startswith(blocks) and part == "vectors" and weights[name].ndim > 1)
    }
    # Adam's first step is the rate itself, whatever the gradient
    assert max(moved[name] for name in moved if name.startswith(blocks)) == pytest.approx(0.001, rel=0.01)
    assert moved["encoder.mix.0.weight"] == pytest.approx(0.01, rel=0.01)


def test_a_transformer_of_low_ranks_is_saved_as_a_plain_one_of_the_same_answers(tmp_path: Path):
    torch.manual_seed(7)
    task = build_student(freed("lite2+vits", "low_rank"))
    weights = dict(task.network.named_parameters())
    with torch.no_grad():
        for name, tensor in weights.items():
            if "lora_B" in name:
                tensor.normal_(std=0.02)
    learns = {name for name, tensor in weights.items() if tensor.requires_grad and ".transformer." in name}
    blocks = [name for name in weights if name.startswith("encoder.transformer.encoder.")]
    assert learns == {name for name in blocks if weights[name].ndim == 1 or "lora" in name}
    # six matrices in each of twelve blocks, a difference of two factors to each
    assert sum("lora" in name for name in learns) == 2 * 6 * 12
    task.save(tmp_path)
    assert isinstance(task.network, Student)
    image = torch.rand(1, 3, 64, 96)
    plain = load_student(tmp_path)
    assert plain.state_dict().keys() == Student(replace(FACTS, encoder="lite2+vits")).state_dict().keys()
    torch.testing.assert_close(seen(plain, image), seen(task.network, image), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("part", ["all", "low_rank", "vectors"])
def test_the_transformers_last_blocks_stay_as_they_are(part: TransformerPart):
    torch.manual_seed(9)
    recipe = freed("lite2+vits", part)
    task = build_student(replace(recipe, distill=replace(recipe.distill, transformer_blocks=8)))
    blocks = {
        name: [int(name.split("layer.")[1].split(".")[0]), weight.requires_grad]
        for name, weight in task.network.named_parameters()
        if name.startswith("encoder.transformer.encoder.")
    }
    assert {block for block, learns in blocks.values() if learns} == set(range(8))
    assert {block for name, (block, _) in blocks.items() if "lora" in name} == set(
        range(8 if part == "low_rank" else 0)
    )


def test_a_rate_for_a_transformer_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"transformer_rate is 0\.1, for lite2\+vits students"):
        build_student(freed("vits"))
    table = replace(freed("lite2"), distill=DistillOptions(convolution_rate=0.0))
    with pytest.raises(ValueError, match=r"convolution_rate is 0, for lite2\+vits students"):
        build_student(table)


@pytest.mark.parametrize("rate", [0.0, 0.2])
def test_the_convolutional_encoder_has_a_rate_of_its_own(rate: float):
    torch.manual_seed(8)
    task = build_student(replace(freed("lite2+vits"), distill=DistillOptions(convolution_rate=rate, encoder_rate=0.5)))
    weights = dict(task.network.named_parameters())
    optimiser = make_optimiser(OptimConfig(), [one for one in weights.values() if one.requires_grad])
    split_rates(optimiser, task.network, task.rates())
    share = {id(p): group.get("share", 1.0) for group in optimiser.param_groups for p in group["params"]}
    lite = [share.get(id(p), 0.0) for name, p in weights.items() if name.startswith("encoder.lite.")]
    assert set(lite) == {rate}
    assert share[id(weights["encoder.mix.0.weight"])] == 0.5
    assert share[id(weights["value.weight"])] == 1.0


def test_a_part_of_a_transformer_that_stays_is_refused():
    with pytest.raises(ValueError, match="transformer_part is given, but transformer_rate is 0"):
        DistillOptions(transformer_part="all")
    with pytest.raises(
        ValueError, match="transformer_rank is 8, which is for transformer_part low_rank, and this is all"
    ):
        DistillOptions(transformer_rate=0.1, transformer_part="all", transformer_rank=8)
    with pytest.raises(ValueError, match="transformer_blocks is given, but transformer_rate is 0"):
        DistillOptions(transformer_blocks=8)
    with pytest.raises(ValueError, match="transformer_blocks is 13; allowed is 1 to 12"):
        DistillOptions(transformer_rate=0.1, transformer_blocks=13)
    with pytest.raises(ValueError, match="transformer_rank is 0; allowed is 1 to 383"):
        DistillOptions(transformer_rate=0.1, transformer_part="low_rank", transformer_rank=0)
