"""Prepare many frames in several processes, so that it can be stopped, and started again, at any moment.

A journal in the output folder (``prepared.jsonl``) says which frames are finished and what they hold; the same call
goes on from there. One broken frame costs one line of the report. Knows no data set: a function does one frame.
"""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, TypeVar

import torch

from latentdepth.data.filelists import FrameRow, absent
from latentdepth.whole import write_whole

Job = TypeVar("Job")
Outcome = Literal["prepared", "there already", "dropped", "failed"]
Settings = Mapping[str, str | float | bool | None]
OnFrame = Callable[[str, Outcome, str], None]
"""Called with a frame's key, what became of it, and why."""
OnStart = Callable[[int], None]
"""Called once with the number of frames."""
JOURNAL, REPORT = "prepared.jsonl", "report.json"
_AHEAD = 4  # jobs that wait for each worker: enough to keep it busy, few enough to stop soon


@dataclass(frozen=True)
class Dropped:
    """A frame that is as it should be but of no use, and why, in words that many frames share."""

    reason: str


@dataclass(frozen=True)
class _Done:
    row: FrameRow | Dropped | None
    failure: str = ""
    disk_full: bool = False


@dataclass
class Report:
    """What became of the frames, by their keys."""

    settings: Settings
    prepared: dict[str, FrameRow] = field(default_factory=dict)
    there_already: dict[str, FrameRow] = field(default_factory=dict)
    dropped: dict[str, list[str]] = field(default_factory=dict)
    """By reason."""
    failed: dict[str, str] = field(default_factory=dict)
    """One line each, which names the file."""
    left_out: dict[str, list[str]] = field(default_factory=dict)
    """Photos that are prepared but not in the filtered lists, by the limit that they break."""
    notes: list[str] = field(default_factory=list)
    not_reached: int = 0
    stopped: Literal["interrupted", "disk full", "worker died"] | None = None

    @property
    def rows(self) -> dict[str, FrameRow]:
        """All that are finished, from this call and earlier ones."""
        return {**self.there_already, **self.prepared}

    def write(self, folder: Path) -> Path:
        """``report.json`` in ``folder``: counts, and the frames behind each."""
        grouped = {"dropped": self.dropped, "left_out_of_filtered_lists": self.left_out}
        facts = {
            "settings": dict(self.settings),
            "stopped": self.stopped,
            "prepared": len(self.prepared),
            "there_already": len(self.there_already),
            "not_reached": self.not_reached,
            **{k: {why: {"count": len(who), "frames": who} for why, who in v.items()} for k, v in grouped.items()},
            "failed": {"count": len(self.failed), "frames": self.failed},
            "notes": self.notes,
        }
        path = folder / REPORT
        write_whole(path, (json.dumps(facts, indent=1) + "\n").encode())
        return path


def prepare_frames(
    jobs: Mapping[str, Job],
    work: Callable[[Job], FrameRow | Dropped],
    root: Callable[[str], Path],
    folder: Path,
    settings: Settings,
    *,
    workers: int = 1,
    overwrite: bool = False,
    on_frame: OnFrame = lambda key, outcome, text: None,
) -> Report:
    """Run ``work`` on every job that the journal in ``folder`` doesn't know as finished.

    ``root(key)`` is the folder that a row's paths are relative to; a frame whose files have gone is done again.
    ``work`` raises ValueError or OSError for a frame that fails, which is tried again by the next call. With more
    than one worker it runs in other processes, so it and the jobs must be picklable. Ctrl-C, a full disk and a worker
    that dies end the run early: ``Report.stopped`` says so, and what was finished is kept.

    Raises ValueError when the journal was made with other ``settings``, unless ``overwrite`` starts afresh. Frames of
    the journal that are not among ``jobs`` stay in it and are no part of the report.
    """
    if workers < 1:
        raise ValueError(f"workers is {workers}; allowed is 1 or more")
    report = Report(settings)
    path = folder / JOURNAL
    known = {} if overwrite else _read_journal(path, settings)
    gone = _without_files({key: done for key, done in known.items() if key in jobs}, root)
    waiting: deque[str] = deque()
    for key in jobs:
        done = known.get(key)
        if done is None or key in gone:
            waiting.append(key)
        elif isinstance(done, Dropped):
            _note(report, key, done, on_frame)
        else:
            report.there_already[key] = done
            on_frame(key, "there already", "")
    folder.mkdir(parents=True, exist_ok=True)
    _start_journal(path, settings, {key: done for key, done in known.items() if key not in gone})
    finished = 0
    total = len(waiting)
    with path.open("a", encoding="utf-8") as journal:
        try:
            for key, done in _results(waiting, jobs, work, workers):
                finished += 1
                if done.row is not None:
                    _append(journal, key, done.row)
                    _note(report, key, done.row, on_frame)
                else:
                    report.failed[key] = done.failure
                    on_frame(key, "failed", done.failure)
                if done.disk_full:
                    report.stopped = "disk full"
                    break
        except KeyboardInterrupt:
            report.stopped = "interrupted"
        except BrokenProcessPool:
            report.stopped = "worker died"
    report.not_reached = total - finished
    return report


def _note(report: Report, key: str, done: FrameRow | Dropped, on_frame: OnFrame) -> None:
    if isinstance(done, Dropped):
        report.dropped.setdefault(done.reason, []).append(key)
        on_frame(key, "dropped", done.reason)
    else:
        report.prepared[key] = done
        on_frame(key, "prepared", "")


def _results(
    waiting: deque[str], jobs: Mapping[str, Job], work: Callable[[Job], FrameRow | Dropped], workers: int
) -> Iterator[tuple[str, _Done]]:
    if workers == 1 or len(waiting) < 2:
        for key in waiting:
            yield key, _attempt(work, jobs[key])
        return
    with worker_pool(min(workers, len(waiting))) as pool:
        running: dict[Future[_Done], str] = {}
        while waiting or running:
            while waiting and len(running) < _AHEAD * workers:
                key = waiting.popleft()
                running[pool.submit(_attempt, work, jobs[key])] = key
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()


@contextmanager
def worker_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes with one thread each; on leaving, jobs that haven't begun are called off."""
    with ExitStack() as stack:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            if name not in os.environ:
                stack.callback(os.environ.pop, name, None)
            else:
                stack.callback(os.environ.__setitem__, name, os.environ[name])
            os.environ[name] = "1"  # inherited by the workers, and read before their first line runs
        # forking a process that has threads (torch, the progress bar) can lock up
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker)
        try:
            yield pool
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _begin_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the first one decides
    torch.set_num_threads(1)


def _attempt(work: Callable[[Job], FrameRow | Dropped], job: Job) -> _Done:
    try:
        return _Done(work(job))
    except OSError as error:
        return _Done(None, str(error), disk_full=error.errno in (errno.ENOSPC, errno.EDQUOT))
    except ValueError as error:
        return _Done(None, str(error))


def _append(journal: IO[str], key: str, done: FrameRow | Dropped) -> None:
    # one write of one line, so that a reader sees it wholly or not at all
    journal.write(json.dumps({"frame": key, **_facts(done)}) + "\n")
    journal.flush()


def _facts(done: FrameRow | Dropped) -> dict[str, Any]:
    return {"dropped": done.reason} if isinstance(done, Dropped) else {"row": asdict(done)}


def _start_journal(path: Path, settings: Settings, known: Mapping[str, FrameRow | Dropped]) -> None:
    lines = [{"settings": dict(settings)}, *({"frame": key, **_facts(done)} for key, done in known.items())]
    write_whole(path, "".join(json.dumps(line) + "\n" for line in lines).encode())


def _read_journal(path: Path, settings: Settings) -> dict[str, FrameRow | Dropped]:
    """What earlier calls finished; a last line that was cut off is no frame."""
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    known: dict[str, FrameRow | Dropped] = {}
    try:
        earlier = json.loads(lines[0])["settings"] if lines else dict(settings)
        for line in lines[1:]:
            facts = json.loads(line)
            known[facts["frame"]] = FrameRow(**facts["row"]) if "row" in facts else Dropped(facts["dropped"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: damaged journal ({error}); --overwrite starts afresh") from error
    changed = sorted(k for k in {*earlier, *settings} if earlier.get(k) != settings.get(k))
    if changed:
        told = ", ".join(f"{k} was {earlier.get(k)}, now {settings.get(k)}" for k in changed)
        raise ValueError(f"{path}: that folder was prepared otherwise ({told}); name another one, or say --overwrite")
    return known


def _without_files(known: Mapping[str, FrameRow | Dropped], root: Callable[[str], Path]) -> set[str]:
    """Frames whose files aren't all there any more."""
    by_root: dict[Path, dict[str, list[str]]] = {}
    for key, done in known.items():
        if isinstance(done, FrameRow):
            for name in filter(None, (done.rgb_path, done.depth_path, done.normals_path)):
                by_root.setdefault(root(key), {}).setdefault(name, []).append(key)
    return {key for place, names in by_root.items() for name in absent(place, names) for key in names[name]}
