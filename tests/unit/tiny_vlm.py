"""Tiny random Qwen3-VL and SmolVLM models, built offline and saved as folders that `open_local` takes like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# The control tokens and the form of the turns are those of the real models; the wording around the tools is our own.
QWEN_TEMPLATE = """
{%- macro show(content) -%}
{%- if content is string -%}{{ content }}{%- else -%}
{%- for block in content -%}
{%- if block.type == 'image' -%}<|vision_start|><|image_pad|><|vision_end|>
{%- elif block.type == 'video' -%}<|vision_start|><|video_pad|><|vision_end|>
{%- else -%}{{ block.text }}{%- endif -%}
{%- endfor -%}{%- endif -%}
{%- endmacro -%}
{%- if tools -%}<|im_start|>system
Tools: {{ tools | tojson }}
Call them as <tool_call>{"name": NAME, "arguments": {}}</tool_call><|im_end|>
{% endif -%}
{%- for message in messages -%}
<|im_start|>{{ 'user' if message.role == 'tool' else message.role }}
{% if message.role == 'tool' %}<tool_response>{{ show(message.content) }}</tool_response>
{%- else -%}{{ show(message.content) }}{%- endif -%}
{%- for call in message.tool_calls or [] -%}
<tool_call>{"name": {{ call.function.name | tojson }}, "arguments": {{ call.function.arguments | tojson }}}</tool_call>
{%- endfor -%}
<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}<|im_start|>assistant
{% endif -%}
"""
SMOL_TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}: "
    "{% for block in message['content'] %}{% if block['type'] == 'text' %}{{ block['text'] }}{% else %}<image>{% endif %}{% endfor %}"
    "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)
QWEN_SPECIAL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
]
SMOL_SPECIAL = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>",
    "<video>", *(f"<row_{r}_col_{c}>" for r in range(1, 5) for c in range(1, 5)),
]  # fmt: skip
TEXTS = [
    "What is wrong here, when and where? The belt slips at 3.5 s. One moment. Frame at s: Frames of gate.mp4:",
    '<tool_call>{"name": "look", "arguments": {"at_s": 3.5}}</tool_call> {"calls": [{"name": "look", "arguments": {"at_s": 3.5}}]}',
    '{"type": "function", "function": {"name": "look", "description": "Show a time.", "parameters": {"type": "object", '
    '"properties": {"at_s": {"type": "number"}}, "required": ["at_s"]}}}',
    *(path.read_text(encoding="utf-8") for path in sorted((Path(__file__).parents[2] / "prompts").glob("tool_*.md"))),
]
"""What the tokenizer learns its words from, so that the prompts of the tests are short."""


def _tokenizer(special: list[str], end: str, plain: tuple[str, ...] = ()) -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        TEXTS * 2,
        trainers.BpeTrainer(
            vocab_size=700, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
        ),
    )
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in plain])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=end, pad_token="<|endoftext|>", additional_special_tokens=special,
        clean_up_tokenization_spaces=False,
    )  # fmt: skip


def build_qwen(
    folder: Path, *, context: int = 4096, seed: int = 0, words: tuple[str, ...] = (), eyes: int = 32
) -> tuple[Any, Any]:
    """A Qwen3-VL of 0.2 million parameters; returns (model, processor) after saving both to `folder`.

    `words` become tokens; `eyes` is how wide its vision part is, at least 64 where it is to be quantised.
    """
    import torch
    from transformers import (
        Qwen2VLImageProcessor,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    tokenizer = _tokenizer(QWEN_SPECIAL, "<|im_end|>", ("<tool_call>", "</tool_call>", *words))
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in QWEN_SPECIAL}
    pixels = {"shortest_edge": 32 * 32, "longest_edge": 64 * 2**20}
    processor = Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(patch_size=16, merge_size=2, temporal_patch_size=2, size=pixels),
        tokenizer=tokenizer,
        video_processor=Qwen3VLVideoProcessor(patch_size=16, merge_size=2, temporal_patch_size=2, size=pixels),
        chat_template=QWEN_TEMPLATE,
    )
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": len(tokenizer), "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
            "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": context,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [4, 2, 2]},
        },
        vision_config={
            "depth": 2, "hidden_size": eyes, "num_heads": 2, "intermediate_size": 64, "patch_size": 16, "out_hidden_size": 64,
            "num_position_embeddings": 64, "deepstack_visual_indexes": [0],
        },
        image_token_id=ids["<|image_pad|>"], video_token_id=ids["<|video_pad|>"], vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )  # fmt: skip
    torch.manual_seed(seed)
    model = Qwen3VLForConditionalGeneration(config).eval()
    return _saved(model, processor, folder, ids["<|im_end|>"], ids["<|endoftext|>"])


def build_smol(folder: Path, *, context: int = 4096, seed: int = 0) -> tuple[Any, Any]:
    """A SmolVLM of 0.1 million parameters; returns (model, processor) after saving both to `folder`."""
    import torch
    from transformers import (
        SmolVLMConfig,
        SmolVLMForConditionalGeneration,
        SmolVLMImageProcessor,
        SmolVLMProcessor,
        SmolVLMVideoProcessor,
    )

    tokenizer = _tokenizer(SMOL_SPECIAL, "<end_of_utterance>")
    side = 32
    processor = SmolVLMProcessor(
        image_processor=SmolVLMImageProcessor(
            size={"longest_edge": 2 * side}, max_image_size={"longest_edge": side}, do_image_splitting=True
        ),
        tokenizer=tokenizer,
        video_processor=SmolVLMVideoProcessor(
            size={"longest_edge": side}, max_image_size={"longest_edge": side},
            video_sampling={"fps": 1, "max_frames": 8, "video_size": {"longest_edge": side}},
        ),
        image_seq_len=4,
        chat_template=SMOL_TEMPLATE,
    )  # fmt: skip
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SMOL_SPECIAL}
    config = SmolVLMConfig(
        text_config={
            "model_type": "llama", "vocab_size": len(tokenizer), "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": context, "pad_token_id": 0,
        },
        vision_config={
            "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": side,
            "patch_size": 8,
        },
        scale_factor=2, image_token_id=ids["<image>"], pad_token_id=ids["<|endoftext|>"],
    )  # fmt: skip
    torch.manual_seed(seed)
    model = SmolVLMForConditionalGeneration(config).eval()
    return _saved(model, processor, folder, ids["<end_of_utterance>"], ids["<|endoftext|>"])


def build_parrot(folder: Path, call: str, *, context: int = 4096) -> None:
    """A Qwen3-VL that answers everything with one tool call: it attends to nothing, each token only tells the next."""
    import torch

    model, processor = build_qwen(folder, context=context, words=(call,))
    for layer in model.model.language_model.layers:
        with torch.no_grad():
            layer.self_attn.o_proj.weight.zero_()
        layer.self_attn.requires_grad_(False)
    prompt = processor(text=["<|im_start|>assistant\n"], return_tensors="pt", add_special_tokens=False)
    assert teach(model, processor, [(prompt, f"<tool_call>{call}</tool_call>")]) < 0.05
    model.save_pretrained(folder)


def _saved(model: Any, processor: Any, folder: Path, end: int, pad: int) -> tuple[Any, Any]:
    model.generation_config.eos_token_id = end
    model.generation_config.pad_token_id = pad
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model, processor


def teach(
    model: Any, processor: Any, lessons: list[tuple[dict[str, Any], str]], *, steps: int = 150, rate: float = 8e-3
) -> float:
    """Overfit the model so that after each prompt (processor output) it writes its answer; returns the worst of the last losses."""
    import torch

    torch.manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # tiny tensors gain nothing from more
    ends = torch.tensor([[model.generation_config.eos_token_id]])
    batches = []
    for seen, answer in lessons:
        # What is taught is a float32 model on the CPU, wherever its prompts were made.
        inputs = {key: value.cpu().float() if value.is_floating_point() else value.cpu() for key, value in seen.items()}
        written = torch.cat(
            [processor.tokenizer(answer, return_tensors="pt", add_special_tokens=False)["input_ids"], ends], dim=1
        )
        ids = torch.cat([inputs["input_ids"], written], dim=1)
        labels = ids.clone()
        labels[:, : inputs["input_ids"].shape[1]] = -100
        more = {key: value for key, value in inputs.items() if key.startswith(("pixel", "image", "video"))}
        if "mm_token_type_ids" in inputs:
            more["mm_token_type_ids"] = torch.cat([inputs["mm_token_type_ids"], torch.zeros_like(written)], dim=1)
        batches.append({"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels, **more})
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    worst = float("inf")
    for _ in range(steps):
        optimizer.zero_grad()
        losses = []
        for batch in batches:
            loss = model(**batch).loss
            loss.backward()
            losses.append(loss.item())
        worst = max(losses)
        if worst < 0.02:
            break
        optimizer.step()
    model.eval()
    torch.set_num_threads(threads)
    return worst
