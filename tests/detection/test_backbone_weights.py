"""Weights of a backbone come from files as others write them, and from torch's cache; what is wrong is named."""

import argparse
import http.server
import threading
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close
from torchvision import models

from alrp_ref.detection import build_detector
from alrp_ref.detection.backbone_weights import download_weights, load_weights_file
from alrp_ref.machine.files import DataError


def small_resnet(seed: int) -> torch.nn.Module:
    """A network with the names of torchvision's ResNets, and no classifier."""
    torch.manual_seed(seed)
    network = models.ResNet(models.resnet.BasicBlock, [1, 1, 1, 1])
    network.fc = torch.nn.Identity()
    return network


def prefixed(prefix: str, state: dict) -> dict:
    return {prefix + name: value for name, value in state.items()}


HEAD = {"fc.weight": torch.ones(10, 512), "fc.bias": torch.ones(10)}
WRAPPED = {
    "torchvision": lambda s, other: s | HEAD,
    "DDP": lambda s, other: {"epoch": 3, "state_dict": prefixed("module.", s | HEAD)},
    "timm": lambda s, other: {"args": argparse.Namespace(lr=0.1), "state_dict_ema": s | HEAD, "arch": "resnet"},
    "Lightning": lambda s, other: {"state_dict": prefixed("model.backbone.", s) | {"loss.weight": torch.ones(3)}},
    "MoCo": lambda s, other: {
        "state_dict": prefixed("module.encoder_q.", s | {"fc.0.weight": torch.ones(9, 512)})
        | prefixed("module.encoder_k.", other)
        | {"module.queue": torch.ones(128, 16)}
    },
    "DINO": lambda s, other: {"student": prefixed("module.backbone.", other), "teacher": prefixed("backbone.", s)},
    "before torch 0.4.1": lambda s, other: {k: v for k, v in s.items() if not k.endswith("num_batches_tracked")},
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=list(WRAPPED))
def test_weights_are_unwrapped_from_what_programs_write(wrap, tmp_path):
    """Every tensor of the network is the one of the file; the file's classifier is not asked for."""
    donor, network = small_resnet(1).state_dict(), small_resnet(0)
    torch.save(wrap(donor, small_resnet(2).state_dict()), tmp_path / "w.pth")
    load_weights_file(network, tmp_path / "w.pth")
    assert_close(network.state_dict(), donor, rtol=0, atol=0)


FILES = {
    "a folder": (lambda path: path.mkdir(), "is a folder: give a state dict with torchvision's names"),
    "nothing": (lambda path: None, "is missing: give"),
    "empty": (lambda path: path.write_bytes(b""), "it ends too early"),
    "a web page": (lambda path: path.write_text("<html>404</html>"), "it is a web page, of a proxy or a login"),
    "a pointer": (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1"), "`git lfs pull`"),
    "a list": (lambda path: torch.save([1, 2], path), "it holds a list; give a state dict"),
    "a tensor": (lambda path: torch.save(torch.zeros(3), path), "it holds a Tensor; give"),
    "a whole model": (
        lambda path: torch.save(small_resnet(0), path),
        r"as a whole model does: save its state_dict\(\)",
    ),
    "another network": (lambda path: torch.save({"weight": torch.zeros(1)}, path), "Missing key"),
    "a longer network": (
        lambda path: torch.save(models.resnet18().state_dict(), path),
        r"not hold weights of this backbone: Unexpected key\(s\) in state_dict: .layer1.1.conv1.weight",
    ),
    "cut off": (
        lambda path: (torch.save(small_resnet(0).state_dict(), path), path.write_bytes(path.read_bytes()[:10_000])),
        "cannot be read as a checkpoint: ",
    ),
}


@pytest.mark.parametrize("write, message", FILES.values(), ids=list(FILES))
def test_a_file_without_weights_is_named_with_what_it_is(write, message, tmp_path):
    """And never is there advice to load it without a safety check."""
    write(tmp_path / "w.pth")
    with pytest.raises(DataError, match=rf"w\.pth .*{message}") as error:
        load_weights_file(small_resnet(0), tmp_path / "w.pth")
    assert "weights_only" not in str(error.value)


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """Where torch keeps MobileNetV2's weights; on the way there stands a server that sends its own page."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints" / "mobilenet_v2-b0353104.pth"


@pytest.mark.parametrize("content", [b"", b"<html>log in</html>", b"PK\3\4 cut off"])
def test_a_damaged_file_in_torchs_cache_is_named_with_the_cure(content, cache):
    """It was cut off, or is a proxy's page: torch alone gives a traceback without its name."""
    cache.parent.mkdir(parents=True)
    cache.write_bytes(content)
    with pytest.raises(DataError) as error:
        build_detector("alrp_mobilenet_320", pretrained_backbone=True)
    assert str(error.value).startswith(f"{cache} is damaged")
    assert "delete it, and give the same command again" in str(error.value)


class Page(http.server.BaseHTTPRequestHandler):
    """A server that answers every address with its own page."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"log in")

    def log_message(self, *_):
        pass


def test_a_proxys_page_in_place_of_the_weights_is_said_and_not_kept(cache, monkeypatch):
    """Its sum is not that of the file; the address is named."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/{cache.name}"
        monkeypatch.setattr(models.MobileNet_V2_Weights.IMAGENET1K_V1.value, "url", url, raising=False)
        with pytest.raises(DataError, match=f"{url}: what arrived is another file, of a proxy or a login perhaps"):
            download_weights("mobilenet_v2")
        server.shutdown()
    assert not cache.exists()


def test_a_proxy_that_does_not_answer_is_named(cache, monkeypatch):
    """With the variable that sets it, and the option that does without a download."""
    monkeypatch.setattr("urllib.request._opener", None)  # the one that knows the variables of before
    monkeypatch.setenv("https_proxy", "http://me:secret@127.0.0.1:9")
    with pytest.raises(DataError, match=r"no download \(.*refused\), by way of the proxy 127.0.0.1:9") as error:
        download_weights("mobilenet_v2")
    assert "--backbone-weights FILE" in str(error.value) and "secret" not in str(error.value)
