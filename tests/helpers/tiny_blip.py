"""Captioning models with the real classes and tiny random weights: BLIP-2 (OPT), BLIP, GIT, ViT-to-GPT-2 and LLaVA.

Their outputs are words of a vocabulary that is given, in no order that makes sense; what matters is that the classes,
the processors and the files are those that people use.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

WORDS = (
    "a", "photo", "of", "the", "cat", "dog", "red", "blue", "small", "large", "on", "in", "under", "table", "tree",
)  # fmt: skip
SIDE = 16  # of the images that the models take
WIDTH = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
VIT = {**WIDTH, "image_size": SIDE, "patch_size": 8}
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
KINDS = ("blip2", "blip", "git", "vit-gpt2", "llava")


def tiny_captioner(folder: Path, kind: str = "blip2", *, words: Sequence[str] = WORDS, seed: int = 0) -> Path:
    """Save a model of a kind with its processor. About 60,000 weights."""
    torch.manual_seed(seed)
    model, processors = globals()["_" + kind.replace("-", "_")](words)
    with torch.no_grad():  # weights as small as the initial ones give the same words for every picture
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.4)
    model.eval().save_pretrained(folder)
    for processor in processors:
        processor.save_pretrained(folder)
    return folder


def _words(words: Sequence[str], *more: str):
    """A tokenizer of whole words; what it does not know is <unk>."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate(dict.fromkeys([*SPECIAL.values(), *more, *words]))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL, additional_special_tokens=list(more))


def _ids(tokenizer) -> dict[str, int]:
    return {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}


def _image_processor(kind: str = "Blip"):
    import transformers

    return getattr(transformers, f"{kind}ImageProcessor")(size={"height": SIDE, "width": SIDE})


def _blip2(words):
    from transformers import (
        Blip2Config,
        Blip2ForConditionalGeneration,
        Blip2Processor,
        Blip2QFormerConfig,
        Blip2VisionConfig,
        OPTConfig,
    )

    tokenizer = _words(words, "<image>")
    text = OPTConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, ffn_dim=64,
        word_embed_proj_dim=32, max_position_embeddings=128, **_ids(tokenizer),
    )  # fmt: skip
    config = Blip2Config(
        vision_config=Blip2VisionConfig(**VIT).to_dict(), text_config=text.to_dict(), num_query_tokens=4,
        qformer_config=Blip2QFormerConfig(**WIDTH, encoder_hidden_size=32, vocab_size=50).to_dict(),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    return Blip2ForConditionalGeneration(config), [Blip2Processor(_image_processor(), tokenizer, num_query_tokens=4)]


def _bert_words(words):
    from transformers import BertTokenizer

    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return BertTokenizer(vocab={word: i for i, word in enumerate(dict.fromkeys([*names, *words]))})


def _blip(words):
    from transformers import BlipConfig, BlipForConditionalGeneration, BlipProcessor, BlipTextConfig, BlipVisionConfig

    tokenizer = _bert_words(words)
    text = BlipTextConfig(
        vocab_size=len(tokenizer), **WIDTH, encoder_hidden_size=32, max_position_embeddings=64, pad_token_id=0,
        bos_token_id=2, eos_token_id=3, sep_token_id=3, is_decoder=True,
    )  # fmt: skip
    config = BlipConfig(vision_config=BlipVisionConfig(**VIT).to_dict(), text_config=text.to_dict(), projection_dim=16)
    return BlipForConditionalGeneration(config), [BlipProcessor(_image_processor(), tokenizer)]


def _git(words):
    from transformers import CLIPImageProcessor, GitConfig, GitForCausalLM, GitProcessor, GitVisionConfig

    tokenizer = _bert_words(words)
    config = GitConfig(
        vision_config=GitVisionConfig(**VIT).to_dict(), vocab_size=len(tokenizer), **WIDTH,
        max_position_embeddings=64, pad_token_id=0, bos_token_id=2, eos_token_id=3,
    )  # fmt: skip
    images = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    return GitForCausalLM(config), [GitProcessor(images, tokenizer)]


def _vit_gpt2(words):
    from transformers import GPT2Config, VisionEncoderDecoderConfig, VisionEncoderDecoderModel, ViTConfig

    tokenizer = _words(words)
    decoder = GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=64, is_decoder=True,
        add_cross_attention=True, **_ids(tokenizer),
    )  # fmt: skip
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(ViTConfig(**VIT), decoder)
    config.decoder_start_token_id, config.pad_token_id = tokenizer.bos_token_id, tokenizer.pad_token_id
    model = VisionEncoderDecoderModel(config)
    model.generation_config.num_beams = 4  # as the published models of this kind have it
    model.generation_config.decoder_start_token_id = tokenizer.bos_token_id
    return model, [_image_processor("ViT"), tokenizer]


def _llava(words):
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor

    tokenizer = _words([*words, "USER:", "ASSISTANT:"], "<image>")
    text = LlamaConfig(
        vocab_size=len(tokenizer), **WIDTH, num_key_value_heads=2, max_position_embeddings=128, **_ids(tokenizer)
    )
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**VIT, projection_dim=32), text_config=text, vision_feature_layer=-1,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"), image_seq_length=4,
    )  # fmt: skip
    template = (
        "{% for m in messages %}USER: {% for c in m['content'] %}"
        "{% if c['type'] == 'image' %}<image> {% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endfor %}"
        "{% if add_generation_prompt %} ASSISTANT:{% endif %}"
    )
    processor = LlavaProcessor(
        _clip_images(), tokenizer, patch_size=8,
        vision_feature_select_strategy="default", chat_template=template, num_additional_image_tokens=1,
    )  # fmt: skip
    return LlavaForConditionalGeneration(config), [processor]


def _clip_images():
    from transformers import CLIPImageProcessor

    return CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
