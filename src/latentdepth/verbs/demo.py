"""``latentdepth demo``: the sample photos of well-kept packages, predicted and drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from latentdepth.options import DEFAULT_MODEL, Device, Dtype, PredictOptions, Runtime
from latentdepth.verbs.predict import MODEL_HELP, conclude, with_progress
from latentdepth.verbs.view import draw_beside


@dataclass(frozen=True)
class Demo:
    """Predict the sample photos that scikit-image, scikit-learn and Matplotlib ship, and draw the results."""

    model: Annotated[str, arg(help=MODEL_HELP)] = DEFAULT_MODEL
    out: Path = Path("demo")
    """Folder for the results."""
    overwrite: bool = False
    """Replace results that are there."""
    device: Device = "auto"
    dtype: Dtype = "auto"
    runtime: Runtime = "torch"
    options: PredictOptions = field(default_factory=lambda: PredictOptions(members=2))


def run(verb: Demo) -> int:
    from latentdepth.bulk import Saving
    from latentdepth.demo import sample_photos
    from latentdepth.export import read_prediction
    from latentdepth.images import read

    photos = sample_photos()
    if not photos:
        raise ValueError('the packages with the sample photos are missing: pip install "latentdepth[demo]"')
    plan = {path: verb.out / name for name, path in photos.items()}
    report = with_progress(verb, plan, Saving(("preview", "png16"), overwrite=verb.overwrite))
    quantity = ""
    for path in report.done:
        prediction = read_prediction(plan[path])
        quantity = prediction.kind.quantity.value
        draw_beside(prediction, read(path), plan[path], overwrite=True)
    if report.done:
        print(f"The pictures are in {verb.out.resolve()}:")
        print(f"  {', '.join(plan[path].name for path in report.done)}, each with")
        print(f"  *_{quantity}.png (near is red), *_uncertainty.png, *_plot.png (with a colour bar),")
        print("  and *_view.png (the scene from the side)")
    return conclude(report, verb.out)
