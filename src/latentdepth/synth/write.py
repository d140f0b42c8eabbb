"""Many scenes to disk, by several processes, so that it can be stopped and started again at any moment.

Each finished scene has a note in ``OUT/scenes`` that is written last; the same call goes on with those that lack one.
A scene that fails costs one line. Knows no engine: a function makes a scene.
"""

from __future__ import annotations

import errno
import json
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from latentdepth.data.prepare import worker_pool
from latentdepth.synth.kinds import Layout
from latentdepth.synth.layouts import scene_shard, write_lists, write_scene
from latentdepth.synth.make import Made, Settings
from latentdepth.synth.sheet import strip, write_sheet
from latentdepth.whole import write_whole

Make = Callable[[Settings, int], Made]
"""Settings and the scene's number to its frames. Picklable, where more than one worker runs it."""
Outcome = Literal["made", "there already", "failed"]
OnScene = Callable[[int, Outcome, str], None]
"""Called with a scene's number, what became of it, and why."""
SETTINGS, SHEET, CREDITS, NOTES = "synth.json", "contact_sheet.jpg", "CREDITS.txt", "scenes"
_ROUND = 64
"""Scenes that a process makes before a fresh one takes its place, so that what engines leak stays small."""


@dataclass
class Report:
    """What became of the scenes, by number."""

    made: list[int] = field(default_factory=list)
    there_already: list[int] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)
    left: list[int] = field(default_factory=list)
    frames: int = 0
    """Of this call and earlier ones."""
    stopped: Literal["interrupted", "disk full"] | None = None


@dataclass(frozen=True)
class _Done:
    failure: str = ""
    disk_full: bool = False


def write_scenes(
    out: Path,
    scenes: Sequence[int],
    settings: Settings,
    make: Make,
    *,
    layout: Layout = "shards",
    workers: int = 1,
    on_scene: OnScene = lambda number, outcome, text: None,
) -> Report:
    """Make every scene that isn't finished in ``out``, then the lists of the layout, credits and a contact sheet.

    Ctrl-C and a full disk end the run early: ``Report.stopped`` says so and finished scenes are kept, as they are
    when the process is killed. Raises ValueError when ``out`` was made with other settings or another layout.
    """
    if workers < 1:
        raise ValueError(f"workers is {workers}; allowed is 1 or more")
    _check_settings(out, settings, layout)
    report = Report()
    waiting: deque[int] = deque()
    for number in scenes:
        if _finished(out, layout, number):
            report.there_already.append(number)
            on_scene(number, "there already", "")
        else:
            waiting.append(number)
    report.left = list(waiting)
    work = partial(_attempt, make, out, layout, settings)
    try:
        with closing(_results(work, waiting, workers)) as results:
            for number, done in results:
                report.left.remove(number)
                if done.disk_full:
                    report.left.insert(0, number)
                    report.stopped = "disk full"
                    break
                if done.failure:
                    report.failed[number] = done.failure
                    on_scene(number, "failed", done.failure)
                else:
                    report.made.append(number)
                    on_scene(number, "made", "")
    except KeyboardInterrupt:
        report.stopped = "interrupted"
    if report.stopped != "disk full":
        report.frames = _finish(out, layout)
    return report


def _check_settings(out: Path, settings: Settings, layout: Layout) -> None:
    wanted = json.loads(json.dumps({**asdict(settings), "layout": layout}))
    path = out / SETTINGS
    if path.is_file():
        try:
            earlier: dict[str, Any] = json.loads(path.read_bytes())
            changed = sorted(k for k in {*earlier, *wanted} if earlier.get(k) != wanted.get(k))
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}: damaged ({error}); name another folder, or delete this one") from error
        if changed:
            told = ", ".join(f"{k} was {earlier.get(k)}, now {wanted.get(k)}" for k in changed)
            raise ValueError(f"{out} holds scenes made otherwise ({told}); name another folder, or the same settings")
    else:
        write_whole(path, (json.dumps(wanted, indent=1) + "\n").encode())


def _note(out: Path, number: int) -> Path:
    return out / NOTES / f"{number:06d}.json"


def _finished(out: Path, layout: Layout, number: int) -> bool:
    return _note(out, number).is_file() and (layout != "shards" or scene_shard(out, number).is_file())


def _attempt(make: Make, out: Path, layout: Layout, settings: Settings, number: int) -> _Done:
    """Make and write one scene; its note comes last."""
    try:
        made = make(settings, number)
        rows = write_scene(out, layout, settings, number, made)
        picture = BytesIO()
        Image.fromarray(strip([frame.sample for frame in made.frames])).save(picture, "JPEG", quality=90)
        write_whole(_note(out, number).with_suffix(".jpg"), picture.getvalue())
        facts = {"scene": number, "kind": made.kind, "frames": len(made.frames), "rows": rows}
        write_whole(_note(out, number), json.dumps({**facts, "credits": list(made.credits)}).encode())
    except OSError as error:
        return _Done(str(error), disk_full=error.errno in (errno.ENOSPC, errno.EDQUOT))
    except MemoryError:
        return _Done("memory ran out; fewer --workers or a smaller --size need less")
    except Exception as error:  # whatever goes wrong in one of thousands of random scenes, the others go on
        told = str(error).partition("\n")[0]
        return _Done(told if isinstance(error, ValueError) and told else f"{type(error).__name__}: {told}")
    return _Done()


def _results(
    work: Callable[[int], _Done], waiting: deque[int], workers: int
) -> Generator[tuple[int, _Done], None, None]:
    if workers == 1:
        for number in waiting:
            yield number, work(number)
        return
    while waiting:
        running: dict[Future[_Done], int] = {}
        try:
            with worker_pool(min(workers, len(waiting))) as pool:
                begun = 0
                while running or (waiting and begun < _ROUND * workers):
                    while waiting and len(running) < workers and begun < _ROUND * workers:
                        running[pool.submit(work, waiting[0])] = waiting[0]
                        waiting.popleft()  # not before it is submitted, which a broken pool refuses
                        begun += 1
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        done = future.result()
                        yield running.pop(future), done
        except BrokenProcessPool:
            # one of these ended its process: each is tried again in one of its own
            for number in running.values():
                yield number, _alone(work, number)


def _alone(work: Callable[[int], _Done], number: int) -> _Done:
    try:
        with worker_pool(1) as pool:
            return pool.submit(work, number).result()
    except BrokenProcessPool:
        return _Done("its process died, mostly for want of memory; try fewer --workers")


def _finish(out: Path, layout: Layout) -> int:
    """Lists, credits and the contact sheet of everything that is finished; returns the number of frames."""
    notes = [json.loads(path.read_bytes()) for path in sorted((out / NOTES).glob("*.json"))]
    if not notes:
        return 0
    write_lists(out, layout, {note["scene"]: note["rows"] for note in notes})
    credits = sorted({line for note in notes for line in note["credits"]})
    if credits:
        write_whole(out / CREDITS, ("\n".join(credits) + "\n").encode())
    write_sheet([_note(out, note["scene"]).with_suffix(".jpg") for note in notes], out / SHEET)
    return sum(note["frames"] for note in notes)
