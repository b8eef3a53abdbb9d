"""Features in place of clips: which segments come when, reproducibly, and never those of a changed file."""

import pickle

import colored
import numpy as np
import pandas as pd
import pytest
import torch

from aurl import UserError
from aurl.data.features import FixedFeatures
from aurl.data.readers import features
from aurl.training.loop import Order

VALUES = np.arange(6 * 4 * 3, dtype=np.float32).reshape(6, 4, 3)  # the first number names video and segment


@pytest.fixture
def manifest(tmp_path):
    np.savez(tmp_path / "set.npz", features=VALUES, labels=list("abcabc"))
    return features.read(tmp_path / "set.npz")


def gather(found):
    return [torch.cat(parts) for parts in zip(*found, strict=True)]


@pytest.mark.parametrize(
    ("count", "segments"), [(1, [0]), (2, [0, 2]), (4, [0, 1, 2, 3]), (8, [0, 0, 1, 1, 2, 2, 3, 3])]
)
def test_segments_are_clips_at_the_start_of_equal_parts(manifest, count, segments):
    values, labels, mirrored = gather(FixedFeatures(manifest, ["c", "a"], count).batches(3))
    np.testing.assert_array_equal(values, VALUES[[0, 2, 3, 5]][:, segments])
    assert labels.tolist() == [1, 0, 1, 0] and mirrored.shape == (4, count) and not mirrored.any()


def test_random_segments_depend_on_seed_epoch_and_video_alone(manifest):
    def seen(seed, epoch, places=range(6)):
        order = [[(epoch, i) for i in places]]
        return gather(FixedFeatures(manifest, list("abc"), seed=seed).batches(6, order))[0][:, 0, 0]

    assert torch.equal(seen(1, 2), seen(1, 2)) and torch.equal(seen(1, 2)[[4, 1]], seen(1, 2, [4, 1]))
    assert not torch.equal(seen(1, 2), seen(1, 3)) and not torch.equal(seen(1, 2), seen(2, 2))
    drawn = torch.stack([seen(0, epoch) for epoch in range(400)]) // 3 % 4
    assert all(abs((drawn == segment).float().mean() - 0.25) < 0.03 for segment in range(4))


def test_several_random_segments_are_one_of_each_part(manifest):
    def seen(count):
        clips = FixedFeatures(manifest, list("abc"), count, seed=0)
        drawn = torch.cat([gather(clips.batches(6, [[(epoch, i) for i in range(6)]]))[0] for epoch in range(40)])
        return [set(column) for column in (drawn[:, :, 0].long() // 3 % 4).T.tolist()]

    assert seen(2) == [{0, 1}, {2, 3}] and seen(3) == [{0}, {1}, {2, 3}] and seen(4) == [{0}, {1}, {2}, {3}]


def test_a_training_order_is_followed_over_epochs(manifest):
    train = colored.settings(batch=2, epochs=3).train
    clips = FixedFeatures(manifest, list("abc"), seed=0)
    found = list(clips.batches(2, Order(6, train, 0)))
    assert len(found) == 9
    for values, labels, _ in found:
        assert ((values[:, 0, 0] // 12).long() % 3).tolist() == labels.tolist()


def test_another_process_reads_the_features_itself(manifest):
    clips = FixedFeatures(manifest, list("abc"), seed=3)
    twin = pickle.loads(pickle.dumps(clips))
    assert len(pickle.dumps(clips)) < 4000 and twin.facts() == clips.facts()
    assert all(map(torch.equal, gather(clips.batches(4)), gather(twin.batches(4))))


def test_several_files_are_one_set(tmp_path, manifest):
    np.save(tmp_path / "more.npy", VALUES + 100)
    pd.DataFrame({"id": list("uvwxyz"), "class": list("aaabbb")}).to_csv(tmp_path / "more.csv", index=False)
    both = pd.concat([manifest, features.read(tmp_path / "more.npy")], ignore_index=True).iloc[::-1]
    values = gather(FixedFeatures(both, list("abc"), 4).batches(5))[0]
    np.testing.assert_array_equal(values, np.concatenate([VALUES, VALUES + 100])[::-1])


def test_features_that_changed_since_are_refused_by_name(tmp_path, manifest):
    changed = VALUES.copy()
    changed[4, 0, 0] += 1
    np.savez(tmp_path / "set.npz", features=changed, labels=list("abcabc"))
    with pytest.raises(UserError, match="set.npz does not have the features of 4 that the manifest lists: prepare"):
        FixedFeatures(manifest, list("abc"))
    np.savez(tmp_path / "set.npz", features=VALUES[:3], labels=list("abc"))
    with pytest.raises(UserError, match="set.npz is not the file that the manifest lists"):
        FixedFeatures(manifest, list("abc"))
