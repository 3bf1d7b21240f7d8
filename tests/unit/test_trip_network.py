"""The TriP network against plain formulas, the bodies it is built around, and its training."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from core.errors import BadInput, UnknownName
from models import trip_llm
from models.language_body import NONE, LanguageBody, TransformersBody, open_body
from models.trip_llm import FUSED, WIDTH, TripNetwork
from models.trip_shape import Shape
from models.trip_training import Windows, train_trip, window_error

pytestmark = pytest.mark.usefixtures("one_thread")
SHAPE = Shape(channels=5, window=24, patches=(4, 8, 12), stride=2)


def network(shape=SHAPE, body=None, **more):
    return TripNetwork(shape, body or open_body(NONE), **more)


def windows(count=3, shape=SHAPE, seed=0):
    return torch.randn(count, shape.window, shape.channels, generator=torch.Generator().manual_seed(seed))


def joined_and_projected(net, x):
    """F_c and F_s as the paper writes them: all channels' features joined to M·d, merged over the scales, then projected."""
    seen_scales, chosen_scales = [], []
    for patching, selection, patch in zip(net.patching, net.selection, net.shape.patches, strict=True):
        count = (net.shape.window - patch) // net.shape.stride + 1
        seen, chosen, scores = [], [], []
        for m in range(net.shape.channels):
            cut = torch.stack([x[:, i * net.shape.stride : i * net.shape.stride + patch, m] for i in range(count)], dim=1)
            features = patching(cut)
            judged, looked = selection(cut, features)
            seen.append(features)
            chosen.append(looked)
            scores.append(judged)
        stacked = torch.stack(scores)
        mixture = torch.sigmoid(selection.mixture)
        weights = (mixture * stacked.max(dim=0).values + (1 - mixture) * stacked.mean(dim=0)).softmax(dim=1)[..., None]
        to_tokens = lambda y: F.interpolate(y.transpose(1, 2), size=net.shape.tokens, mode="linear").transpose(1, 2)  # noqa: E731
        seen_scales.append(to_tokens(torch.cat(seen, dim=-1)))
        chosen_scales.append(to_tokens(torch.cat([weights * one for one in chosen], dim=-1)))
    scale = torch.stack([one.mean(dim=(1, 2)) for one in chosen_scales]).softmax(dim=0)[..., None, None]
    merged_seen, merged_chosen = (scale * torch.stack(seen_scales)).sum(0), (scale * torch.stack(chosen_scales)).sum(0)
    assert merged_seen.shape == (len(x), net.shape.tokens, net.shape.channels * WIDTH)
    return merged_seen @ net.project_seen + net.seen_offset, merged_chosen @ net.project_chosen + net.chosen_offset


@pytest.mark.parametrize("group", [1, 2, 1000])
def test_projecting_groups_of_channels_is_the_projection_of_all_joined(monkeypatch, group):
    net, x = network().eval(), windows()
    with torch.no_grad():
        for selection in net.selection:
            selection.mixture.fill_(0.7)
    monkeypatch.setattr(trip_llm, "GROUP_NUMBERS", group * len(x) * SHAPE.tokens * WIDTH)
    for ours, plain in zip(net.merged(x), joined_and_projected(net, x), strict=True):
        assert ours.shape == (3, SHAPE.tokens, FUSED)
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-5)


def test_groups_change_no_gradient(monkeypatch):
    x, found = windows(), []
    for numbers in (1, 10**9):
        monkeypatch.setattr(trip_llm, "GROUP_NUMBERS", numbers)
        monkeypatch.setattr(trip_llm, "DROPPED", 0.0)
        net = network().train()
        net(x).square().mean().backward()
        found.append({name: parameter.grad for name, parameter in net.named_parameters()})
    assert all(gradient is not None for gradient in found[0].values())
    for name, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][name], rtol=1e-3, atol=1e-6, msg=name)


def test_overlapping_patches_are_averaged_and_no_step_is_left_out():
    net = network()
    patches = torch.randn(2, SHAPE.tokens, 4, 5)
    total, count = torch.zeros(2, 24, 5), torch.zeros(24)
    for i in range(SHAPE.tokens):
        total[:, 2 * i : 2 * i + 4] += patches[:, i]
        count[2 * i : 2 * i + 4] += 1
    assert (count > 0).all()
    torch.testing.assert_close(net.decoder._laid(patches) / net.decoder.cover, total / count[:, None])


def test_the_patching_branch_looks_back_only_and_carries_the_patches_means():
    branch = trip_llm.PatchingBranch(4).eval()
    patches = torch.randn(2, 10, 4)
    changed = patches.clone()
    changed[:, 6:] += 1
    torch.testing.assert_close(branch(patches)[:, :6], branch(changed)[:, :6])
    # A layer norm with its first weights has mean 0, so the mean over the features is the patch's.
    torch.testing.assert_close(branch(patches).mean(dim=-1), patches.mean(dim=-1), atol=1e-5, rtol=1e-4)


def test_the_number_of_tokens_does_not_depend_on_the_channels():
    class Counting(LanguageBody):
        def _hidden(self, embedded):
            seen.append(embedded.shape)
            return embedded

    seen = []
    for channels in (1, 7):
        shape = Shape(channels=channels, window=24, patches=(4, 8), stride=4)
        assert network(shape, Counting(title="counting", width=32, longest=9)).eval()(windows(2, shape)).shape == (
            2,
            24,
            channels,
        )
    assert seen == [(2, 6, 32), (2, 6, 32)]


@pytest.mark.parametrize(
    "cut",
    [{"patches": (8, 4), "stride": 2}, {"patches": (4, 4), "stride": 2}, {"patches": (4, 32), "stride": 2}, {"patches": (4,), "stride": 5},
     {"patches": (4,), "stride": 3}, {"patches": (4,), "stride": 0}],
)  # fmt: skip
def test_cuts_that_leave_steps_in_no_patch_are_refused(cut):
    with pytest.raises(BadInput, match=r"expected|in no patch"):
        Shape(channels=1, window=24, **cut)


def test_equal_seeds_give_equal_weights():
    first, again, other = network(seed=1), network(seed=1), network(seed=2)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


def test_the_embedded_body_is_frozen_and_kept_out_of_what_is_saved():
    body = open_body("minilm", device="cpu/fp32")
    net = network(body=body)
    assert body.width == 384
    assert not list(body.parameters())
    assert not [name for name in net.state_dict() if name.startswith("body")]
    before = {name: weight.clone() for name, weight in body._weights.items()}
    course = trained(net, updates=4)
    assert course.held_out[-1] != course.held_out[0]
    assert all(torch.equal(weight, body._weights[name]) for name, weight in before.items())


def test_freed_norms_are_trained_and_nothing_else_of_the_body():
    body = open_body("minilm", free_norms=True, device="cpu/fp32")
    assert len(body.freed) == 2 * (1 + 2 * 6)
    names = sorted(body.freed)
    before = {name: body.freed[name].detach().clone() for name in names}
    frozen = open_body("minilm", device="cpu/fp32")
    x = torch.randn(2, 5, 384)
    torch.testing.assert_close(body(x), frozen(x))
    trained(network(body=body), updates=10)
    assert all(not torch.equal(before[name], body.freed[name]) for name in names)


def test_pretraining_is_told_from_drawn_weights_and_from_no_body():
    x = torch.randn(2, 5, 384)
    pretrained, drawn, again = (open_body(name, device="cpu/fp32")(x) for name in ("minilm", "random", "random"))
    assert torch.equal(drawn, again)
    assert not torch.allclose(pretrained, drawn)
    assert torch.equal(open_body(NONE)(x), x)
    assert not torch.equal(open_body("random", seed=1, device="cpu/fp32")(x), drawn)


def test_the_first_layers_can_be_taken_alone(tmp_path):
    from models.text import BertBody, weights

    x = torch.randn(2, 5, 384)
    two = open_body("minilm", layers=2, device="cpu/fp32")
    plain = BertBody(weights())
    plain.layers = 2
    torch.testing.assert_close(two(x), plain.hidden(x, torch.ones(2, 5, dtype=torch.bool)))
    assert not [name for name in two._weights if name.startswith("encoder.layer.2")]
    assert len(open_body("minilm", layers=2, free_norms=True).freed) == 2 * (1 + 2 * 2)
    torch.testing.assert_close(open_body("minilm", layers=6, device="cpu/fp32")(x), open_body("minilm", device="cpu/fp32")(x))
    model = tiny("qwen2")
    model.save_pretrained(tmp_path / "small")
    body, y = open_body(str(tmp_path / "small"), layers=1, device="cpu/fp32"), torch.randn(2, 5, 32)
    model.layers = model.layers[:1]
    torch.testing.assert_close(body(y), model(inputs_embeds=y).last_hidden_state)
    for name in ("minilm", str(tmp_path / "small")):
        with pytest.raises(BadInput, match="expected 1 to"):
            open_body(name, layers=7)


def tiny(kind):
    """A small body of transformers with random weights."""
    import transformers

    torch.manual_seed(0)
    if kind == "gpt2":
        settings = transformers.GPT2Config(n_embd=32, n_layer=2, n_head=2, n_positions=16, vocab_size=11)
    else:
        made = {"llama": transformers.LlamaConfig, "qwen2": transformers.Qwen2Config}[kind]
        settings = made(
            hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, vocab_size=11,
            max_position_embeddings=16,
        )  # fmt: skip
    return transformers.AutoModel.from_config(settings).eval()


@pytest.mark.parametrize("kind", ["gpt2", "llama", "qwen2"])
def test_bodies_of_transformers_are_read_from_a_folder_and_fed_by_embeddings(kind, tmp_path):
    model = tiny(kind)
    model.save_pretrained(tmp_path / kind)
    body = open_body(str(tmp_path / kind), device="cpu/fp32")
    assert isinstance(body, TransformersBody)
    assert (body.width, body.longest, list(body.parameters())) == (32, 16, [])
    x = torch.randn(2, 12, 32, requires_grad=True)
    hidden = body(x)
    torch.testing.assert_close(hidden, model(inputs_embeds=x).last_hidden_state)
    later = x.detach().clone()
    later[:, 7:] += 1  # a decoder's tokens see those before them only
    torch.testing.assert_close(body(later)[:, :7], hidden[:, :7])
    (gradient,) = torch.autograd.grad(hidden.sum() + hidden.square().sum(), x)
    assert gradient.abs().sum() > 0
    freed = open_body(str(tmp_path / kind), free_norms=True, device="cpu/fp32")
    norms = [name for name, _ in model.named_parameters() if "norm" in name.lower() or "ln_" in name]
    assert sorted(name.replace("/", ".") for name in freed.freed) == sorted(norms)
    torch.testing.assert_close(freed(x), hidden)
    freed(x).square().mean().backward()
    assert all(norm.grad is not None and norm.grad.abs().sum() > 0 for norm in freed.freed.values())


def test_a_body_with_too_few_positions_says_so(tmp_path):
    tiny("gpt2").save_pretrained(tmp_path / "small")
    with pytest.raises(BadInput, match="at most 16 tokens, got 17"):
        open_body(str(tmp_path / "small"), device="cpu/fp32")(torch.zeros(1, 17, 32))


@pytest.mark.parametrize("name", ["gpt2", "smollm2-135m", "qwen2.5-0.5b", "someone/some-llm"])
def test_a_body_that_is_not_here_is_told_how_to_get(name, tmp_path, monkeypatch):
    monkeypatch.setenv("TELLTALE_HOME", str(tmp_path))
    with pytest.raises(UnknownName, match=r"not installed\. Get it with: telltale models pull"):
        open_body(name)


def test_folders_without_a_text_model_are_refused(tmp_path):
    with pytest.raises(BadInput, match="cannot be read"):
        open_body(str(tmp_path))
    with pytest.raises(UnknownName):
        open_body("minilmm")


def test_encoder_decoders_are_refused(tmp_path):
    import transformers

    settings = transformers.T5Config(d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=2, vocab_size=11)
    transformers.T5Model(settings).save_pretrained(tmp_path / "t5")
    with pytest.raises(BadInput, match="one stack of layers"):
        open_body(str(tmp_path / "t5"))


def trained(net, *, updates, seed=0):
    """Training on waves; windows to learn from come from the first 300 of 400 steps."""
    t = np.arange(400)[:, None]
    rows = torch.from_numpy(np.sin(t / 5 + np.arange(net.shape.channels)).astype(np.float32))
    return train_trip(
        net, Windows(rows=rows, starts=torch.arange(270)), Windows(rows=rows, starts=torch.arange(300, 370)), updates=updates, batch=8,
        rate=1e-3, seed=seed, low=nullcontext,
    )  # fmt: skip


def test_training_lowers_the_held_out_error_and_keeps_the_best_weights():
    net = network()
    course = trained(net, updates=80)
    assert min(course.held_out) < 0.5 * course.held_out[0]
    t = np.arange(400)[:, None]
    rows = torch.from_numpy(np.sin(t / 5 + np.arange(5)).astype(np.float32))
    error = window_error(net, Windows(rows=rows, starts=torch.arange(300, 370)), low=nullcontext)
    assert error == pytest.approx(min(course.held_out), rel=1e-4)
    assert course.held_out[course.kept_epoch] == min(course.held_out)


def test_training_that_makes_it_worse_ends_early_and_keeps_the_best_weights():
    net = network()
    rows = torch.cat([torch.ones(100, 5) * 3, torch.ones(100, 5) * -3])
    held_out = Windows(rows=rows, starts=torch.arange(100, 170))
    course = train_trip(
        net, Windows(rows=rows, starts=torch.arange(70)), held_out, updates=100, batch=8, rate=3e-3, seed=0, low=nullcontext
    )
    assert len(course.held_out) == course.kept_epoch + 4 < 11
    assert course.held_out[-1] > 1.1 * min(course.held_out)
    assert window_error(net, held_out, low=nullcontext) == pytest.approx(min(course.held_out), rel=1e-4)


def test_training_leaves_the_global_random_numbers_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    trained(network(), updates=2)
    assert torch.equal(torch.rand(1), expected)
