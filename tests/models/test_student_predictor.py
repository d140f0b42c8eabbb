"""A student as a predictor: sizes, range, members, and options that one pass can't follow."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from latentdepth.models.dense import DenseNetwork, Seen
from latentdepth.models.student import Student, StudentFacts
from latentdepth.models.student_predictor import StudentPredictor, fitted_size, load_student_predictor
from latentdepth.options import PredictOptions
from latentdepth.predictor import Predictor


class Tilted(DenseNetwork):
    """Says the photo's brightness, and a ramp that does not mirror with it; remembers the sizes it saw."""

    stride, resolution, max_depth_m = 32, 64, None  # pyright: ignore[reportAssignmentType]

    def __init__(self, *, ramp: float = 0.0, metres: float | None = None, broken: bool = False) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1, 1))
        self.ramp, self.broken, self.sizes = ramp, broken, []
        self.max_depth_m = metres  # pyright: ignore[reportAttributeAccessIssue, reportIncompatibleVariableOverride]

    def forward(self, image: Float[Tensor, "n 3 h w"]) -> Seen:
        self.sizes.append(tuple(image.shape))
        ramp = torch.linspace(0, self.ramp, image.shape[-1])
        value = (image.mean(1, keepdim=True) + ramp) * (self.max_depth_m or 1.0)
        return Seen(value / 0 if self.broken else value, image)


@pytest.fixture
def photo() -> Tensor:
    return torch.rand(1, 3, 60, 90, generator=torch.Generator().manual_seed(0))


def test_it_is_a_predictor(photo: Tensor):
    network = Tilted()
    predictor = StudentPredictor(network, "a")
    assert isinstance(predictor, Predictor)
    prediction = predictor(photo)
    assert network.sizes == [(1, 3, 32, 64)]  # 60 x 90 at 64: 42.7 and 64
    assert prediction.value.shape == (1, 1, 60, 90)
    assert prediction.uncertainty is None
    assert 0 <= float(prediction.value.min()) < float(prediction.value.max()) <= 1
    assert prediction.made_with["resolution"] == 64


def test_values_at_the_size_that_the_network_saw(photo: Tensor):
    value = StudentPredictor(Tilted(), "a")(photo, PredictOptions(match_input=False)).value
    assert value.shape == (1, 1, 32, 64)
    assert (float(value.min()), float(value.max())) == (0.0, 1.0)


def test_images_do_not_influence_each_other(photo: Tensor):
    predictor = StudentPredictor(Tilted(), "a")
    both = predictor(torch.cat((photo, 0.1 * photo)))
    torch.testing.assert_close(both.value[:1], predictor(photo).value, atol=0, rtol=0)


def test_two_members_are_the_photo_and_its_mirror_image(photo: Tensor):
    predictor = StudentPredictor(Tilted(ramp=0.5), "a")
    two = predictor(photo, PredictOptions(members=2))
    mirrored = predictor(photo.flip(-1), PredictOptions(members=2))
    # float32; the ramp alone would tell the two apart by half of the range
    torch.testing.assert_close(mirrored.value.flip(-1), two.value, atol=1e-4, rtol=0)
    assert two.uncertainty is not None
    assert float(two.uncertainty.max()) > 0.05
    same = StudentPredictor(Tilted(ramp=0.0), "a")(photo, PredictOptions(members=2)).uncertainty
    assert same is not None
    assert float(same.max()) < 1e-5  # both members say the same, but for float32
    best = predictor(photo, PredictOptions(effort="best"))
    torch.testing.assert_close(best.value, two.value, atol=0, rtol=0)


def test_metres_are_left_as_they_are():
    image = torch.full((1, 3, 64, 64), 0.25)
    prediction = StudentPredictor(Tilted(metres=20.0), "a")(image)
    torch.testing.assert_close(prediction.value, torch.full((1, 1, 64, 64), 5.0))
    assert prediction.kind.unit == "m"


def test_one_value_everywhere_is_0():
    assert float(StudentPredictor(Tilted(), "a")(torch.full((1, 3, 64, 64), 0.5)).value.abs().max()) == 0.0


def test_grey_photos_are_taken(photo: Tensor):
    assert StudentPredictor(Tilted(), "a")(photo[:, :1].expand(-1, 3, -1, -1)).value.shape == (1, 1, 60, 90)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (PredictOptions(members=3), "members is 3; allowed are 1 and 2"),
        (PredictOptions(steps=4), "steps is 4"),
        (PredictOptions(sampler="ddim"), "sampler is ddim"),
        (PredictOptions(resolution=-1), "resolution is -1"),
    ],
)
def test_what_one_pass_cannot_follow(photo: Tensor, options: PredictOptions, said: str):
    with pytest.raises(ValueError, match=said):
        StudentPredictor(Tilted(), "a")(photo, options)


def test_what_is_not_finite_is_an_error(photo: Tensor):
    with pytest.raises(ValueError, match="a gave NaN or infinity"):
        StudentPredictor(Tilted(broken=True), "a")(photo)


@pytest.mark.parametrize(
    ("size", "longer", "wanted"),
    [
        ((480, 640), 512, (384, 512)),
        ((640, 480), 512, (512, 384)),
        ((100, 2000), 512, (32, 512)),
        ((50, 70), 0, (64, 64)),
    ],
)
def test_sides_are_multiples_of_the_stride(size: tuple[int, int], longer: int, wanted: tuple[int, int]):
    assert fitted_size(*size, longer, 32) == wanted


def test_a_folder_is_made_ready(photo: Tensor, tmp_path: Path):
    torch.manual_seed(0)
    network = Student(StudentFacts(width=16, resolution=64)).eval()
    network.save(tmp_path)
    ready = load_student_predictor(tmp_path, device=torch.device("cpu"), dtype=torch.float32, name="dir:x")
    wanted = StudentPredictor(network, "x")(photo).value
    # norms are folded, and an untrained network's values span little, which is stretched to [0, 1]
    torch.testing.assert_close(ready(photo).value, wanted, atol=2e-3, rtol=0)
    assert ready.describe()["default resolution"] == 64
    brief = load_student_predictor(tmp_path, device=torch.device("cpu"), dtype=torch.bfloat16, name="dir:x")
    assert brief.describe()["dtype"] == "bfloat16"
    assert bool(torch.isfinite(brief(photo).value).all())
