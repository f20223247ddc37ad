"""Goals of the main job: what it answers, against plain NumPy and exact retraining."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from asv_bench.goals import Goal, at_most, exactly
from asv_bench.timing import median_interval
from tests.e2e.main_job import (
    PENALTY,
    SECOND_PROCESS,
    Job,
    borderline_input,
    plain_preparation,
    run_main_job,
)
from tests.naive.gradients import gradients
from tests.naive.retrain import leave_one_out_margins, retrained_weights
from tests.robustness.bad_inputs import BAD_INPUTS, complaint
from traceprop.attribution import compute_influence_scores
from traceprop.attribution.capture.gradients import flat_gradients
from traceprop.compliance.verify import verify
from traceprop.lineage import values
from traceprop.unlearn import approximate_unlearn, export_compliance, record

THREADS = "torch 1 thread, 2 cores"


def goals() -> Iterator[Goal]:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["XDG_CONFIG_HOME"] = str(folder / "config")
        yield _demo(folder)
        yield _import_time()
        job = run_main_job(folder)
        yield from _rows(job)
        yield from _influence(job)
        yield _second_process(job, folder)
        yield _gradients(job)
        yield from _removal(job, folder)
        yield _bad_inputs(job, folder)


def _demo(folder: Path) -> Goal:
    start = time.perf_counter()
    command = [str(Path(sys.executable).with_name("traceprop")), "demo", "--out", "demo"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return at_most("`traceprop demo`, wall time", time.perf_counter() - start, 60, " s")


def _import_time() -> Goal:
    """Time of `import traceprop` over that of `import numpy`, each in fresh processes in turns."""
    program = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"

    def seconds(module: str) -> float:
        command = [sys.executable, "-c", program.format(module)]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    seconds("traceprop"), seconds("numpy")
    ratios = np.array([seconds("traceprop") / seconds("numpy") for _ in range(31)])
    ratio, low, high = median_interval(ratios)
    note = f"95 % [{low:.2f}, {high:.2f}], 31 pairs of fresh processes"
    return at_most("`import traceprop` against `import numpy`", ratio, 1.3, " ×", note)


def _rows(job: Job) -> Iterator[Goal]:
    _, _, rows = plain_preparation(job.table)
    (traced,) = job.X.sources().values()
    wrong = len(np.setxor1d(traced.to_numpy(), rows))
    yield exactly(f"rows of {len(rows)} that differ from plain NumPy's filter", wrong, 0)

    text = job.table.read_text().splitlines()
    X = values(job.X)
    mean, std = _statistics(job.table)
    wrong = 0
    for sample in range(job.store.n_samples):
        line = int(str(job.store.get_provenance(sample)).split("(line ")[1].split(")")[0])
        cells = np.array(text[line - 1].split(","), float)[:-1]
        wrong += not np.array_equal((cells - mean) / std, X[sample])
    yield exactly("samples whose cited line of text is not theirs", wrong, 0)


def _statistics(path: Path) -> tuple[np.ndarray, np.ndarray]:
    X = np.loadtxt(path, delimiter=",", skiprows=1)[:, :-1]
    return X.mean(axis=0), X.std(axis=0)


def _influence(job: Job) -> Iterator[Goal]:
    X, y, _ = plain_preparation(job.table)
    declined = borderline_input(X)
    scores = compute_influence_scores(job.model, job.store, declined, top_k=job.store.n_samples)
    samples = [sample for sample, _ in scores]
    exact = leave_one_out_margins(X, y, declined, samples, penalty=PENALTY)
    correlation = float(np.corrcoef([score for _, score in scores], exact)[0, 1])
    yield Goal(
        f"scores against {len(exact)} exact retrainings, correlation",
        f"{correlation:.4f}",
        "> 0.98",
        correlation > 0.98,
    )
    top = samples[int(np.argmax(exact))]
    yield exactly("the most influential row by retraining comes first", int(top == samples[0]), 1)


def _second_process(job: Job, folder: Path) -> Goal:
    np.save(folder / "input.npy", values(job.X)[3])
    command = [sys.executable, "-c", SECOND_PROCESS, str(job.store.path), f"{folder}/input.npy"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    here = [
        [int(sample), score, str(job.store.get_provenance(sample))]
        for sample, score in compute_influence_scores(
            job.model, job.store, values(job.X)[3], top_k=5
        )
    ]
    differ = sum(a != b for a, b in zip(json.loads(done.stdout), here, strict=True))
    return exactly("answers of 5 that a second process gives otherwise", differ, 0)


def _gradients(job: Job) -> Goal:
    run = job.store.record
    inputs = torch.from_numpy(np.array(run.inputs))
    targets = torch.from_numpy(np.array(run.targets))
    ours = np.asarray(flat_gradients(job.model, inputs, targets, run.loss))
    plain = gradients(job.model, inputs, targets, torch.nn.functional.cross_entropy)
    error = np.abs(ours - plain).max() / np.abs(plain).max()
    return at_most("per-sample gradients against one autograd pass a sample", error, 1e-5)


def _removal(job: Job, folder: Path) -> Iterator[Goal]:
    _, _, rows = plain_preparation(job.table)
    gone = rows[:10].tolist()
    forget_set = job.store.samples_from_source("credit_scores.csv", rows=gone)
    new = approximate_unlearn(job.model, forget_set)
    # The preparation is done again without the rows too: as if they had never been in the file.
    lines = job.table.read_text().splitlines()
    kept = [line for i, line in enumerate(lines) if i - 1 not in gone]
    (folder / "without.csv").write_text("\n".join(kept) + "\n")
    X, y, _ = plain_preparation(folder / "without.csv")
    # What the model is given: the float32 inputs. The bound speaks of a retraining on these.
    retrained = retrained_weights(X.astype(np.float32).astype(float), y, penalty=PENALTY)
    theta = np.concatenate([p.detach().double().numpy().ravel() for p in new.parameters()])
    distance = float(np.linalg.norm(theta - retrained))
    bound = record(new).bound
    yield Goal(
        "10 rows removed: distance to the retrained weights, within its bound",
        f"{distance:.1e}",
        f"≤ {bound:.1e}",
        distance <= bound,
    )
    report = export_compliance(
        model_before=job.model,
        model_after=new,
        forget_set=forget_set,
        store=job.store,
        regulation="EU_AI_ACT_ART26",
    )
    path = folder / "certificate.json"
    report.save(path)
    whole = path.read_bytes()
    accepted = int(not verify(path).ok)
    edited = folder / "edited.json"
    chosen = np.random.default_rng(0).choice(len(whole) * 8, 2000, replace=False)
    for bit in chosen.tolist():
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        edited.write_bytes(damaged)
        accepted += verify(edited).ok
    yield exactly("2,000 single-bit edits of the certificate that verify", accepted, 0)


def _bad_inputs(job: Job, folder: Path) -> Goal:
    complaints = [
        f"{case.what}: {wrong}"
        for case in BAD_INPUTS
        if (wrong := complaint(case, job, folder / "bad")) is not None
    ]
    what = f"bad inputs of {len(BAD_INPUTS)} without one clear error, status 1, files as they were"
    return exactly(what, len(complaints), 0, "; ".join(complaints))
