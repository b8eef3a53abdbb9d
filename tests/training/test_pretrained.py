"""Models travel: what is saved or pushed loads again, and cut, changed or wrong files are refused."""

import hashlib
import json
import re
from functools import partial
from pathlib import Path

import hub
import pytest
import torch
import yaml
from colored import MODEL, NAMES, WORDS
from errors import error_message
from huggingface_hub import constants

import aurl
from aurl import UserError, models
from aurl.project import config
from aurl.training import checkpoints

refused = partial(error_message, aurl.load)
CLIP = {"frames": 4, "segments": 1, "stride": 2, "size": 16, "crop": "squash"}
METRICS = {"unseen": {"chance": 0.25, "top1": 0.5, "top5": 1.0, "closeness": 0.3}}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The folder of a training, in the working directory, with metrics."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    network = models.build(config.Model(**MODEL), 4, 6)
    about = {"clip": CLIP, "text": {"vectors": "data/words.bin"}}
    checkpoints.save("runs/aurl-3", network.state_dict(), config.Model(**MODEL), NAMES, 6, **about)
    Path("reports/metrics").mkdir(parents=True)
    Path("reports/metrics/aurl-3.json").write_text(json.dumps(METRICS))
    return Path("runs/aurl-3")


@pytest.fixture(autouse=True)
def download_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    return tmp_path / "hub/aurl"


@pytest.fixture
def server(tmp_path, monkeypatch):
    """The handler of a hub on this machine, whose user is logged in."""
    handler = hub.hub()
    with hub.serving(handler) as address:
        monkeypatch.setattr(constants, "ENDPOINT", address)
        template = "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_TOKEN", "hf_test")
        yield handler


def features(model):
    with torch.no_grad():
        return model.encode_class(torch.from_numpy(WORDS).to(next(model.parameters()).device)).cpu()


def test_saved_and_loaded(run):
    digest = aurl.save_pretrained(run, "out")
    assert sorted(path.name for path in Path("out").iterdir()) == ["README.md", "model.json", "model.safetensors"]
    assert Path("out/model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()
    assert digest == hashlib.sha256(Path("out/model.json").read_bytes()).hexdigest()
    loaded = aurl.load("out")
    assert not loaded.training and loaded.about["clip"] == CLIP and loaded.about["classes"] == NAMES
    assert torch.equal(features(loaded), features(aurl.load(run)))
    assert aurl.save_pretrained("out", "again", "reports/metrics/aurl-3.json") == digest  # travels on unchanged


def test_the_card_has_the_metrics_of_its_run(run):
    digest = aurl.save_pretrained(run, "out")
    card = Path("out/README.md").read_text()
    header = yaml.safe_load(card.split("---\n")[1])
    (result,) = header["model-index"]
    found = {metric["type"]: metric["value"] for metric in result["results"][0]["metrics"]}
    assert result["name"] == "aurl-3" and found == {"chance": 0.25, "top1": 0.5, "top5": 1.0}
    assert (header["license"], header["library_name"], header["pipeline_tag"]) == (
        "mit",
        "aurl",
        "video-classification",
    )
    assert "| unseen | 0.5000 | 1.0000 |  | 0.2500 |" in card and f"#sha256={digest}" in card
    assert "clips of 4 frames, 2 apart" in card and "`data/words.bin` (6 dimensions)" in card
    Path("other.json").write_text(json.dumps({"mine": {"top1": 0.75}}))
    aurl.save_pretrained(run, "out", "other.json")
    assert "| mine | 0.7500 |" in Path("out/README.md").read_text()
    Path("reports/metrics/aurl-3.json").unlink()
    aurl.save_pretrained(run, "out")
    assert "None were given" in Path("out/README.md").read_text()
    for wrong in ("gone.json", "out/README.md"):
        with pytest.raises(UserError, match=rf"^{wrong} holds no metrics"):
            aurl.save_pretrained(run, "out", wrong)


# --- the hub ----------------------------------------------------------------------------------------


def test_pushed_and_loaded(run, server):
    address = aurl.push_to_hub(run, "someone/aurl-verbs")
    assert "/someone/aurl-verbs/commit/" in address and set(server.tokens) == {"Bearer hf_test"}
    files = server.repos["someone/aurl-verbs"]
    assert sorted(files) == ["README.md", "model.json", "model.safetensors"]
    for source in ("someone/aurl-verbs", "someone/aurl-verbs@main"):
        assert torch.equal(features(aurl.load(source)), features(aurl.load(run)))
    assert "(RevisionNotFoundError: 404" in refused("someone/aurl-verbs@gone")


def test_a_hub_that_refuses(run, server, monkeypatch):
    assert refused("someone/gone").startswith("someone/gone is no folder here, and the hub did not give it (")
    server.repos["someone/else"] = {"config.json": b"{}"}
    assert refused("someone/else") == (
        "someone/else on the hub has no model.json, so it is no model of this project: correct the id."
    )
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(UserError, match=r"^runs/aurl-3 was not pushed to someone/mine \(.*401.* log in by `hf auth"):
        aurl.push_to_hub(run, "someone/mine")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # where nothing listens
    with pytest.raises(UserError, match="^runs/aurl-3 was not pushed to someone/mine"):
        aurl.push_to_hub(run, "someone/mine")


def test_damage_on_the_hub_is_found(run, server):
    aurl.push_to_hub(run, "someone/cut")
    server.cut.add("model.safetensors")
    assert refused("someone/cut").startswith("someone/cut is no folder here, and the hub did not give it (")
    server.cut.clear()
    files = server.repos["someone/changed"] = dict(server.repos["someone/cut"])
    changed = bytearray(files["model.safetensors"])
    changed[-1] ^= 1
    files["model.safetensors"] = bytes(changed)
    assert refused("someone/changed") == (
        "the weights of someone/changed are not those that its model.json names, so they were cut or changed: "
        "download them again."
    )


# --- plain addresses --------------------------------------------------------------------------------


def test_a_plain_address_with_its_digest(run, tmp_path):
    digest = aurl.save_pretrained(run, "site/mine")
    files = hub.files_of(tmp_path / "site")
    with hub.serving(files) as address:
        loaded = aurl.load(f"{address}/mine/#sha256={digest}")
    assert files.asked == ["model.json", "model.safetensors"]
    assert torch.equal(features(loaded), features(aurl.load(run)))
    assert torch.equal(features(aurl.load(f"{address}/mine#{digest.upper()}")), features(loaded))  # without the server


@pytest.mark.parametrize("fragment", ["", "#", "#sha256=", "#sha256=abc", "#md5=" + "0" * 32])
def test_a_plain_address_needs_a_digest(fragment):
    said = refused(f"https://example.invalid/mine{fragment}")
    assert said.startswith("https://example.invalid/mine needs a digest, because its content could change: append #sha")


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "changed", "wrong", "gone"])
def test_damaged_files_of_an_address_are_refused(run, tmp_path, download_cache, name, damage):
    digest = aurl.save_pretrained(run, "site")
    path = tmp_path / "site" / name
    sound = path.read_bytes()
    if damage == "changed":
        path.write_bytes(sound[:-9] + b"\0" + sound[-8:])
    elif damage == "wrong":
        path.write_bytes((run / "model.json").read_bytes())
    elif damage == "gone":
        path.unlink()
    with hub.serving(hub.files_of(tmp_path / "site", [name] if damage == "cut" else [])) as address:
        said = refused(f"{address}#sha256={digest}")
    wanted = "cannot be downloaded" if damage == "gone" else "has another SHA-256 than"
    assert said.startswith(f"{address}/{name} {wanted}")
    assert not list(download_cache.rglob(name)) and not list(download_cache.rglob("*.partial"))
    path.write_bytes(sound)
    with hub.serving(hub.files_of(tmp_path / "site")) as address:
        aurl.load(f"{address}#sha256={digest}")


def test_a_json_that_names_no_weights_is_refused(run, tmp_path):
    digest = hashlib.sha256((run / "model.json").read_bytes()).hexdigest()
    with hub.serving(hub.files_of(tmp_path / run)) as address:
        assert "is of no model of `aurl.save_pretrained`" in refused(f"{address}#sha256={digest}")


def test_a_cached_download_that_was_damaged_is_fetched_again(run, tmp_path, download_cache):
    source = f"#sha256={aurl.save_pretrained(run, 'site')}"
    with hub.serving(hub.files_of(tmp_path / "site")) as address:
        aurl.load(address + source)
        (path,) = download_cache.rglob("model.safetensors")
        path.write_bytes(b"damaged")
        assert torch.equal(features(aurl.load(address + source)), features(aurl.load(run)))


# --- folders ----------------------------------------------------------------------------------------


def test_a_missing_folder_is_not_looked_for_on_the_hub(run, server):
    for gone in ("runs/aurl-7", "gone", "/gone/folder", "a b/c"):
        assert re.match(f"there is no model {gone}: run `make reproduce`, which trains runs/aurl-0", refused(gone))
    assert not server.tokens


def test_changed_weights_of_a_folder_are_refused(run):
    aurl.save_pretrained(run, "out")
    path = Path("out/model.safetensors")
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    assert refused("out").startswith("the weights of out are not those that its model.json names")
