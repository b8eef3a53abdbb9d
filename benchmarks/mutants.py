"""Do the tests notice a wrong formula? Faults that a person could make, one at a time, and the tests that must fail.

    python benchmarks/mutants.py                 # all of them, about 10 minutes on one core
    python benchmarks/mutants.py losses folds    # those in modules of these names

Each mutant replaces a text that occurs once in a module of the method: losses, generator, metrics, splits, clip and
feature sampling, and the statistics behind the claims. It is put into a copy of the project, where only the named test
files run, until one test fails. The table says "caught" or "SURVIVED"; one survivor makes the exit status 1. Changes
that no input could tell from the original are no faults and are not listed.
"""

# ruff: noqa: E501
import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import av  # noqa: F401
import hypothesis  # noqa: F401
import pandas  # noqa: F401
import pytest
import scipy.stats  # noqa: F401
import torch
import torchvision  # noqa: F401

# Imported above are libraries only, which all tests then share. Without bytecode, as Python takes that of a file of the
# same size and second for current.
sys.dont_write_bytecode = True
torch.set_num_threads(1)

ROOT = Path(__file__).resolve().parents[1]
COPIED = ["aurl", "tests"]  # the rest of the project is linked to


class Mutant(NamedTuple):
    old: str  # occurs once in the module
    new: str


# module -> the tests that must notice, and the mutants
MUTANTS = {
    "aurl/losses.py": (
        ["tests/test_losses.py"],
        [
            Mutant("torch.float32)), dim=-1)", "torch.float32)), dim=0)"),
            Mutant("return unit(video) @ unit(classes).T", "return unit(video) @ classes.T"),
            Mutant("with torch.autocast(video.device.type, enabled=False)", "with torch.autocast(video.device.type)"),
            Mutant("return -scale * (unit(video)", "return scale * (unit(video)"),
            Mutant("(unit(video) * unit(classes[labels]))", "(unit(video) * classes[labels])"),
            Mutant("scores = scale * cosines(video, classes)", "scores = cosines(video, classes)"),
            Mutant("torch.logsumexp(scores, dim=1).mean()", "torch.logsumexp(scores, dim=0).mean()"),
            Mutant("scores.masked_fill(~among,", "scores.masked_fill(among,"),
            Mutant("+ uniformity_weight * uniformity(video, classes, scale, among)", "+ uniformity(video, classes, scale, among)"),
            Mutant("* uniformity(video, classes, scale, among)", "* uniformity(video, classes, among=among)"),
            Mutant("return contrastive(z, theta, ", "return contrastive(theta, z, "),
            Mutant("device=z.device), scale, uniformity_weight)", "device=z.device), scale)"),
            Mutant("target = unit(classes[labels])", "target = classes[labels]"),
            Mutant("F.mse_loss(projected.to(target.dtype), target)", "F.mse_loss(unit(projected).to(target.dtype), target)"),
            Mutant("+ scores).clamp(min=0)", "+ scores)"),
            Mutant("violations.scatter(1, right, 0.0)", "violations"),
            Mutant("0.0).sum(dim=1).mean()", "0.0).amax(dim=1).mean()"),
            Mutant("(margin - scores.gather(1, right)", "(-scores.gather(1, right)"),
            Mutant("- unit(centers[labels])).square()", "- centers[labels]).square()"),
            Mutant('"semantic": lambda: aligned + uniformity_weight * spread,', '"semantic": lambda: aligned + spread,'),
            Mutant("spread = uniform if among is None", "spread = uniform if among is not None"),
            Mutant("lambda: contrastive(projected, centers, ", "lambda: contrastive(projected, classes, "),
            Mutant('"alignment": aligned.detach(),', '"alignment": aligned,'),
            Mutant("F.cross_entropy(scale * scores, labels)", "F.cross_entropy(scores, labels)"),
            Mutant("return relation(scores, labels, scale)", "return relation(scores, labels)"),
            Mutant("labels.min() < 0 or ", ""),
        ],
    ),
    "aurl/generator.py": (
        ["tests/test_generator.py"],
        [
            Mutant('"extrapolate": (1, 1)', '"extrapolate": (0, 1)'),
            Mutant('"both": (0, 1)', '"both": (1, 0)'),
            Mutant("torch.randint(1, seen, (count,)", "torch.randint(0, seen, (count,)"),
            Mutant("* (a - b)", "* (b - a)"),
            Mutant("weights = torch.rand(count, seen, generator=rng)", "weights = torch.rand(count, seen)"),
            Mutant("weights = torch.rand(count,", "weights = torch.randn(count,"),
            Mutant("lambda features: weights.to(", "lambda features: torch.rand(count, seen, generator=rng).to("),
            Mutant("[torch.arange(count) % 2, None]", "[torch.arange(count) // 2 % 2, None]"),
            Mutant("return mix(unit(centers)), mix(unit(classes))", "return mix(centers), mix(classes)"),
            Mutant("return mix(unit(centers)), mix(unit(classes))", "return mix(unit(classes)), mix(unit(centers))"),
            Mutant(".beta(self.beta, self.beta, ", ".beta(self.beta, 1.0, "),
            Mutant("count = self.num_classes or len(classes)", "count = len(classes)"),
        ],
    ),
    "aurl/metrics.py": (
        ["tests/test_metrics.py"],
        [
            Mutant("np.nanmean(_class_means(_distance(cosines, distance), places, len(names)))", "_distance(cosines, distance).mean()"),
            Mutant("(own * names[at]).sum(axis=1)", "(own * names[at]).mean(axis=1)"),
            Mutant("np.fill_diagonal(cosines, -np.inf)", "np.fill_diagonal(cosines, 0)"),
            Mutant("_distance(cosines.max(axis=1), distance)", "_distance(cosines.min(axis=1), distance)"),
            Mutant("(table >= right).sum(axis=1) <= k", "(table > right).sum(axis=1) < k"),
            Mutant("(table >= right).sum(axis=1) <= k", "(table >= right).sum(axis=1) < k"),
            Mutant("places * count + table.argmax(axis=1)", "table.argmax(axis=1) * count + places"),
            Mutant("2 * seen * unseen / (seen + unseen) if", "(seen + unseen) / 2 if"),
            Mutant("own[rng.integers(len(own), size", "right[rng.integers(len(right), size"),
            Mutant("[(1 - level) / 2, (1 + level) / 2]", "[1 - level, level]"),
            Mutant("/ (times @ np.bincount(places))", "/ len(right)"),
            Mutant("RandomState(k).permutation(count)[: count // 2]", "RandomState(k + 1).permutation(count)[: count // 2]"),
            Mutant("permutation(count)[: count // 2]", "permutation(count)[count // 2 :]"),
            Mutant("permutation(count)[: count // 2] for k in range(10)", "permutation(count)[: count // 2] for k in range(9)"),
            Mutant("kept = position[places] >= 0", "kept = position[places] >= -1"),
            Mutant("np.nanmean(_class_means(first, right, len(chosen)))", "np.nanmean(_class_means(fifth, right, len(chosen)))"),
            Mutant('f"{name}_std": float(values.std())', 'f"{name}_std": float(values.std(ddof=1))'),
            Mutant("np.where(right > best_seen, right - best_unseen, -np.inf)", "np.where(right >= best_seen, right - best_unseen, -np.inf)"),
            Mutant("best_seen - right, np.inf)", "best_seen - right, -np.inf)"),
            Mutant("table[rows, places] = -np.inf", "pass"),
            Mutant('1 - sums[np.searchsorted(margins, gammas, side="right")]', "1 - sums[np.searchsorted(margins, gammas)]"),
            Mutant('_share_below(*new, gammas, side="right")', "_share_below(*new, gammas)"),
            Mutant("permutation(present)[:count]", "permutation(present)[count:]"),
            Mutant("best[len(best) // 2]", "best[0]"),
            Mutant("count = min(max(round(share * len(present)), 1)", "count = min(max(int(share * len(present)), 1)"),
            Mutant("np.where(counts, counts, np.nan)", "np.maximum(counts, 1)"),
            Mutant("np.sqrt(2 - 2 * cosine)", "2 - 2 * cosine"),
        ],
    ),
    "aurl/evaluation.py": (
        ["tests/evaluation/test_protocols.py"],
        [
            Mutant('np.maximum(score[:, other], scores(own, unseen["classes"][[place]])[:, 0])', "score[:, other]"),
            Mutant("rank(scores(features, exact=True), names, k)", "rank(scores(features), names, k)"),
            Mutant("score = scores(own, columns)", "score = whole(own[\"video\"]) @ columns.T"),
            Mutant('seen["labels"], len(own) / len(columns))', 'seen["labels"], 0.5)'),
            Mutant("cosines[place, other] > 1 - 1e-6", "cosines[place, other] > 0.5"),
            Mutant("cosines[np.array(other_names)[:, None] == np.array(names)] = np.inf", "pass"),
            Mutant('count + np.searchsorted(own, unseen["labels"][kept])', 'count + unseen["labels"][kept]'),
            Mutant("metrics.split_accuracy(score, labels, truze)", 'metrics.split_accuracy(score, labels, "all")'),
            Mutant('metrics.split_accuracy(score, labels, "half")', 'metrics.split_accuracy(score, labels, "all")'),
            Mutant('for over in ("videos", "classes")', 'for over in ("classes", "videos")'),
            Mutant('"chance": 1 / score.shape[1]', '"chance": 1 / len(score)'),
            Mutant("np.nanmean(metrics.per_class_accuracy(score, labels)),\n    }", "hits.mean(),\n    }"),
            Mutant("distance\": 1 - cosines.max(axis=1)", "distance\": 1 - cosines.min(axis=1)"),
            Mutant("(1 - np.eye(count, dtype=int))", "1"),
            Mutant("labels[:, None], -np.inf, score).max(axis=1)", "labels[:, None], score, -np.inf).max(axis=1)"),
        ],
    ),
    "aurl/data/video/reading.py": (
        ["tests/data/video/test_reading.py"],
        [
            Mutant("segment = total // clips", "segment = -(-total // clips)"),
            Mutant("max(segment - span, 0) + 1, size=clips", "max(segment - span, 1), size=clips"),
            Mutant("span = (frames - 1) * stride + 1", "span = frames * stride"),
            Mutant("starts = starts + rng.integers(", "starts = rng.integers("),
            Mutant("np.arange(frames) * stride) % total", "np.arange(frames) * stride).clip(max=total - 1)"),
            Mutant("np.arange(frames) * stride)", "np.arange(frames))"),
            Mutant("indices = first + clip_indices(total,", "indices = clip_indices(first + total,"),
            Mutant("short = round(size * 128 / 112)", "short = size"),
            Mutant("scale = short / min(width, height)", "scale = short / max(width, height)"),
            Mutant("np.full((clips, 2), 0.5)", "np.full((clips, 2), 0.0)"),
            Mutant("int(share * (side - size + 1))", "int(share * (side - size))"),
        ],
    ),
    "aurl/data/clips.py": (
        ["tests/data/test_clips.py"],
        [
            Mutant("default_rng([self.seed, epoch, i])", "default_rng([self.seed, i])"),
            Mutant("default_rng([self.seed, epoch, i])", "default_rng([self.seed, epoch])"),
            Mutant("rng.random(self.count) < 0.5 if", "rng.random(self.count) < 0 if"),
            Mutant("if crop and rng else", "if rng else"),
            Mutant('start=ends - manifest["frames"]', "start=ends"),
            Mutant("count * params.clip.segments, seed, cache)", "count, seed, cache)"),
            Mutant('manifest[["digest", "first", "frames"]]', 'manifest[["digest"]]'),
            Mutant("first=first, total=total, file_frames=self.file_frames[i]", "first=0, total=total, file_frames=self.file_frames[i]"),
            Mutant("self.cache[start + chosen]", "self.cache[chosen]"),
            Mutant("if self.checked[file] != changed:", "if self.checked[file] < 0:"),
        ],
    ),
    "aurl/data/features.py": (
        ["tests/data/test_features.py"],
        [
            Mutant("np.arange(self.count + 1) * self.segments // self.count", "np.arange(self.count + 1)"),
            Mutant("np.maximum(bounds[1:], bounds[:-1] + 1)", "bounds[1:] + 1"),
            Mutant("default_rng([self.seed, epoch])", "default_rng([self.seed])"),
            Mutant("values[here] = stored[self.rows[here]]", "values[here] = stored[: len(here)]"),
            Mutant("segments if segments.ndim == 1 else segments[chosen]", "segments if segments.ndim == 1 else segments[: len(chosen)]"),
            Mutant("if found != self.digests[i]:", "if not found:"),
        ],
    ),
    "aurl/data/prepare.py": (
        ["tests/data/test_prepare.py"],
        [
            Mutant("rank <= (counts - 1).clip(upper=val_videos)", "rank <= (counts - 1)"),
            Mutant('.mask(rows["split"] == "test", "")', ""),
            Mutant("& (rank > val_videos)", "& (rank > 0)"),
            Mutant("hashlib.sha256(name.encode())", 'hashlib.sha256(f"{len(rows)}{name}".encode())'),
            Mutant("known.get(alone.get(label), label)", "label"),
            Mutant("pairs.drop_duplicates(keep=False)", "pairs"),
        ],
    ),
    "aurl/rendered/verbs.py": (
        ["tests/rendered/test_verbs.py"],
        [
            Mutant("if fold(name) == number]", "if fold(name) == number + 1]"),
            Mutant('"train" if index < kept else "val"', '"train" if index > kept else "val"'),
        ],
    ),
    "aurl/text/class_vectors.py": (
        ["tests/text/test_embedding.py"],
        [
            Mutant('"removed": smallest < threshold', '"removed": smallest <= threshold'),
            Mutant("nearest = distances.argmin(axis=1)", "nearest = distances.argmax(axis=1)"),
            Mutant("pd.concat(nearest).sort_values(\"distance\", kind=\"stable\")", "pd.concat(nearest)"),
        ],
    ),
    "aurl/evaluation/folds.py": (
        ["tests/evaluation/test_folds.py"],
        [
            Mutant("np.arange(len(p), 0, -1)", "len(p)"),
            Mutant("np.maximum.accumulate(p[order]", "(p[order]"),
            Mutant('found[["p_classes", "p_trainings"]].max(axis=1)', 'found[["p_classes", "p_trainings"]].min(axis=1)'),
            Mutant('np.where(found["points"] > 0, "above", "below")', 'np.where(found["points"] < 0, "above", "below")'),
            Mutant("difference.groupby(study.to_numpy()).sum()", "difference.groupby(study.to_numpy()).mean()"),
            Mutant("abs(differences.sum()) - 1e-12", "abs(differences.sum()) + 1e-12"),
            Mutant("[0.025, 0.975]", "[0.05, 0.95]"),
            Mutant('chance=1 / own["class"].nunique()', "chance=1 / len(own)"),
            Mutant('own.groupby("class")["top1"].mean()', 'own.groupby("class")["top1"].max()'),
            Mutant('"times": top1.mean() / chance', '"times": top1.mean()'),
            Mutant("(extreme.sum() + 1) / (resamples + 1)", "extreme.sum() / (resamples + 1)"),
        ],
    ),
    "aurl/evaluation/claims.py": (
        ["tests/evaluation/test_claims.py"],
        [
            Mutant('"closeness", -1)', '"closeness", 1)'),
            Mutant('"agrees": sign * test.statistic > 0', '"agrees": test.statistic > 0'),
            Mutant('"p": max(row.p_classes, row.p_trainings)', '"p": min(row.p_classes, row.p_trainings)'),
            Mutant('"agrees": row.points > 0', '"agrees": row.points < 0'),
            Mutant('folds.holm(table["p"].to_numpy(float))', 'table["p"].to_numpy(float)'),
            Mutant('("uniformity helps", "contrastive", "alignment")', '("uniformity helps", "alignment", "contrastive")'),
        ],
    ),
}  # fmt: skip


def every(parts=()):
    """All mutants as (module, tests, mutant), or those in modules of which one of ``parts`` is in the name."""
    for module, (tests, mutants) in MUTANTS.items():
        for mutant in mutants if not parts or any(part in module for part in parts) else ():
            yield module, tests, mutant


def copy_project(folder):
    """The project in ``folder``: what is changed and what is run as copies, all else as links."""
    for path in ROOT.iterdir():
        if path.name in COPIED:
            shutil.copytree(path, folder / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        elif path.name != ".git":
            (folder / path.name).symlink_to(path)


def passes(folder, tests):
    """Whether the test files ``tests`` pass in the project's copy in ``folder``, in a process of their own.

    It is forked from this one, which has imported the libraries, but nothing of the project.
    """
    with tempfile.TemporaryFile() as said:
        child = os.fork()
        if child == 0:
            os.chdir(folder)
            os.environ |= {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
            sys.path.insert(0, str(folder))
            for stream in (1, 2):
                os.dup2(said.fileno(), stream)
            os._exit(pytest.main(["-q", "-x", "-n", "0", "-p", "no:cacheprovider", *tests]))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status not in (0, 1):  # 1: tests ran, and one failed
            said.seek(0)
            sys.exit(f"pytest {' '.join(tests)} ended with {status}:\n{said.read().decode()[-3000:]}")
        return status == 0


def is_caught(folder, module, tests, mutant):
    """Whether one of ``tests`` fails while ``module`` has the mutant."""
    file = folder / module
    whole = file.read_text()
    if whole.count(mutant.old) != 1:
        sys.exit(f"{module} has {mutant.old!r} {whole.count(mutant.old)} times: correct the list.")
    file.write_text(whole.replace(mutant.old, mutant.new))
    try:
        return not passes(folder, tests)
    finally:
        file.write_text(whole)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help="parts of modules' names; all modules by default")
    found, begun = [], time.monotonic()
    print("| module | instead of | stands | |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        copy_project(Path(folder))
        fine = set()
        for module, tests, mutant in every(parser.parse_args().parts):
            if module not in fine and not passes(Path(folder), tests):
                sys.exit(f"{' '.join(tests)} fail as it is: correct that first.")
            fine.add(module)
            found.append(is_caught(Path(folder), module, tests, mutant))
            cells = [module, *(f"`{text.strip()}`".replace("|", "\\|").replace("\n", " ") for text in mutant)]
            print(f"| {' | '.join(cells)} | {'caught' if found[-1] else '**SURVIVED**'} |", flush=True)
    print(f"\n{sum(found)} of {len(found)} mutants caught in {(time.monotonic() - begun) / 60:.0f} min.")
    sys.exit(not all(found))


if __name__ == "__main__":
    main()
