"""Any video, any class names: videos found, words made do with, and scores against the parts they are made of."""

import sys
from pathlib import Path

import authors
import numpy as np
import pytest
import torch
import trees
import untrained
from errors import error_message
from untrained import CLIP, MODEL

from aurl import UserError, text
from aurl.classify.classifier import Classifier, embed, find_videos
from aurl.data.video import read_clips
from aurl.training import checkpoints
from aurl.training.inference import to_input

WORDS = ["walk", "dog", "juggling", "juggle", "fly", "walking"]
NAMES = ["walk dog", "juggling", "fly"]


@pytest.fixture
def vectors(tmp_path):
    """A file of word vectors in three dimensions."""
    lines = [f"{word} {k} {k * k % 7} {-k % 3}" for k, word in enumerate(WORDS, 1)]
    Path(tmp_path, "words.txt").write_text("\n".join(lines) + "\n")
    return tmp_path / "words.txt"


@pytest.fixture
def model(tmp_path):
    return untrained.save(tmp_path / "model", clip=CLIP)


@pytest.fixture
def video(tmp_path):
    trees.video(tmp_path / "videos/a.mp4")
    return tmp_path / "videos/a.mp4"


@pytest.mark.parametrize("count", [1, 3])
def test_scores_are_cosines_of_video_and_name(model, vectors, video, count):
    table = Classifier(model, vectors).classify([video], NAMES, clips=count, top=2).table
    network, _ = checkpoints.load(model)
    clips = to_input(read_clips(video, 4, 2, count, 16))[None]
    with torch.no_grad():
        seen = network.cpu().encode_video(clips)
        named = network.encode_class(torch.from_numpy(text.WordVectors.load(vectors).embed(NAMES)))
    scores = (seen @ named.T)[0].numpy()
    order = np.argsort(-scores)
    assert table["class"].tolist() == [NAMES[place] for place in order[:2]]
    assert table["rank"].tolist() == [1, 2] and set(table["video"]) == {str(video)}
    assert table["score"].to_numpy() == pytest.approx(scores[order[:2]], abs=2e-4)
    # The margin of the last shown class is to one that is not shown.
    assert table["margin"].to_numpy() == pytest.approx(scores[order[:2]] - scores[order[1:]], abs=2e-4)


def test_learned_scores_rank_the_names(vectors, video, tmp_path):
    learned = MODEL.model_copy(update={"score": "relation", "semantic": "fixed", "dim": 3})  # names lie well apart
    own = untrained.save(tmp_path / "own", model=learned, clip=CLIP | {"segments": 2})
    table = Classifier(own, vectors).classify([video], NAMES).table
    network = checkpoints.load(own)[0].cpu()
    with torch.no_grad():
        named = torch.from_numpy(text.WordVectors.load(vectors).embed(NAMES))
        scores = network(to_input(read_clips(video, 4, 2, 2, 16))[None], named)["scores"][0]
    assert table["class"].tolist() == [NAMES[place] for place in scores.argsort(descending=True)]
    assert table["score"].to_numpy() == pytest.approx(scores.sort(descending=True).values.numpy(), abs=2e-4)


def test_a_broken_video_is_named_and_the_others_are_classified(model, vectors, video):
    broken = video.with_name("b.mp4")
    broken.write_text("no video")
    answer = Classifier(model, vectors).classify([video.parent], ["fly", "walk", "fly"])
    assert set(answer.table["video"]) == {str(video)} and answer.table["class"].is_unique
    assert len(answer.broken) == 1 and str(broken) in answer.broken[0]
    only = Classifier(model, vectors).classify([broken], ["fly"])
    assert only.table.empty and len(only.broken) == 1


def test_a_released_checkpoint(tmp_path, vectors, video):
    torch.manual_seed(0)
    path = authors.save(tmp_path / "checkpoint.pth.tar", authors.Released(word_dim=3))
    classifier = Classifier(path, vectors)
    assert (classifier.clip.frames, classifier.clip.stride, classifier.clip.size) == (16, 1, 112)
    assert len(classifier.classify([video], NAMES).table) == 3


# --- words ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, used, note",
    [("jugling", "juggling", 'jugling: no vector, "juggling" used instead'),
     ("juggles", "juggle", 'juggles: no vector, "juggle" used instead'),
     ("flies", "fly", 'flies: no vector, "fly" used instead'), ("wlak", "walk", 'wlak: no vector, "walk" used instead'),
     ("walking the dog", "walking dog", "the: no vector, left out")],
)  # fmt: skip
def test_a_word_without_a_vector(vectors, name, used, note):
    known = text.WordVectors.load(vectors)
    found, notes = embed([name, "fly"], known)
    assert notes == [note]
    np.testing.assert_array_equal(found, known.embed([used, "fly"]))


def test_a_capital_begins_a_word(vectors):
    known = text.WordVectors.load(vectors)
    np.testing.assert_array_equal(embed(["WalkDog", "Fly"], known)[0], known.embed(["walk dog", "fly"]))


@pytest.mark.parametrize("name, reason", [("xylophone", "no word of it has a vector"), ("!?", "it holds no word")])
def test_a_class_that_cannot_be_embedded(vectors, name, reason):
    said = error_message(embed, ["fly", name], text.WordVectors.load(vectors))
    assert said == f'the class "{name}" cannot be embedded, as {reason}: write it with other words.'


# --- other class vectors ----------------------------------------------------------------------------


def test_a_model_embeds_names_with_what_it_was_trained_with(tmp_path, video, vectors, monkeypatch):
    np.savez(tmp_path / "own.npz", names=NAMES, vectors=np.eye(3), encoder="aurl.text.encoders:sentence")
    model = untrained.save(tmp_path / "own", clip=CLIP, text={"embeddings": str(tmp_path / "own.npz")})
    answer = Classifier(model).classify([video], ["WalkDog", "fly"])
    assert set(answer.table["class"]) == {"WalkDog", "fly"} and answer.notes == []
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.setitem(sys.modules, "transformers.utils", None)
    with pytest.raises(UserError, match='no vector of the class "swim", and .* computed: .*pip install') as said:
        Classifier(model).classify([video], ["swim", "fly"])
    assert "\n" not in str(said.value)
    monkeypatch.setattr("aurl.text.encoders.sentence", lambda texts: np.eye(3)[: len(texts)])
    assert len(Classifier(model).classify([video], ["swim", "fly"]).table) == 2
    assert len(Classifier(model, vectors).classify([video], ["walk", "fly"]).table) == 2  # others in their place


def test_a_model_runs_no_encoder_of_others_unasked(tmp_path, video, monkeypatch):
    (tmp_path / "mine_for_classify.py").write_text("def three(texts): return [[len(each), 1, 2] for each in texts]\n")
    monkeypatch.chdir(tmp_path)
    source = {"encoder": "mine_for_classify:three", "templates": ["a {}", "{}"]}
    model = untrained.save(tmp_path / "own", clip=CLIP, text=source)
    with pytest.raises(UserError, match="mine_for_classify:three, which is not .* add --vectors mine_for_cl"):
        Classifier(model)
    classifier = Classifier(model, "mine_for_classify:three")
    assert classifier.source.templates == ["a {}", "{}"]
    assert len(classifier.classify([video], ["walk", "fly"]).table) == 2


# --- videos -----------------------------------------------------------------------------------------


def test_folders_give_all_their_videos_once(tmp_path):
    trees.touch(tmp_path, "b.mp4", "deep/er/a.MKV", "notes.txt", ".hidden.mp4")
    expected = [f"{tmp_path}/b.mp4", f"{tmp_path}/deep/er/a.MKV"]
    assert find_videos([tmp_path, tmp_path / "b.mp4"]) == (expected, [f"{tmp_path}: 1 other file (1 .txt) skipped"])
    assert find_videos([tmp_path / "notes.txt"]) == ([f"{tmp_path}/notes.txt"], [])  # named by hand: its bytes decide


def test_paths_without_a_video(tmp_path):
    with pytest.raises(UserError, match="there is no video .*gone.mp4: correct the path"):
        find_videos([tmp_path / "gone.mp4"])
    with pytest.raises(UserError, match="there is no video xxx"):
        find_videos(["x" * 300])
    (tmp_path / "a.txt").touch()
    said = "has no videos, only 1 other file .1 .txt.: give a video, or a folder with some"
    with pytest.raises(UserError, match=said):
        find_videos([tmp_path])
    with pytest.raises(UserError, match="there is no video to classify"):
        find_videos([])


# --- mistakes ---------------------------------------------------------------------------------------


def test_no_class(model, vectors, video):
    with pytest.raises(UserError, match="there is no class to choose from: name at least one"):
        Classifier(model, vectors).classify([video], [])


def test_word_vectors_of_another_dimension(model, tmp_path):
    Path(tmp_path, "other.txt").write_text("walk 1 2\nfly 2 1\n")
    with pytest.raises(UserError, match="other.txt has vectors of 2 dimensions but .*model takes 3: use what"):
        Classifier(model, tmp_path / "other.txt")


def test_a_model_that_embeds_descriptions_takes_no_new_names(vectors, tmp_path):
    untrained.save(tmp_path / "er", model=untrained.MODEL.model_copy(update={"describe": True}))
    with pytest.raises(UserError, match="er embeds class names together with descriptions, which new names do not"):
        Classifier(tmp_path / "er", vectors)


def test_a_model_that_does_not_say_which_clips_it_takes(vectors, tmp_path):
    untrained.save(tmp_path / "old")
    with pytest.raises(UserError, match="old does not say which clips its model takes: train it again"):
        Classifier(tmp_path / "old", vectors)
