"""Bad inputs of every kind for every command, as a table.

In a command line, `<name>` stands for something in the world that `bad_world` makes; `out` and the like lie in the
folder that the command is run in, which is empty before and has to be so afterwards.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mvc_hf.config.assessing import AssessSettings
from mvc_hf.config.fields import CAPTION, FINETUNE, GENERATE, flag
from mvc_hf.config.recipe import Recipe
from mvc_hf.config.stages.comparing import CompareSettings, SweepSettings
from mvc_hf.config.stages.exporting import ExportSettings

DIGITS = "9" * 400
LONG = "x" * 5000


@dataclass(frozen=True)
class Case:
    """A command line that is wrong.

    Attributes:
        kind: of the fault; counted by it.
        environment: variables over those of the tests.
        hub: it talks to a Hub, a small one of its own.
    """

    kind: str
    arguments: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()
    hub: bool = False

    def __str__(self) -> str:
        words = " ".join([f"{name}={value}" for name, value in self.environment] + list(self.arguments))
        words = re.sub(r"(.)\1{20,}", r"\1~", words).encode("unicode_escape").decode()
        return f"{self.kind}: {words[:150]}"


def case(kind: str, line: str | list[str], **options: Any) -> Case:
    environment = tuple(options.pop("environment", {}).items())
    return Case(kind, tuple(line.split(" ") if isinstance(line, str) else line), environment, **options)


FINE = {
    "caption": "caption <photos> -o out.parquet",
    "finetune": "finetune <photos> -o out --base <base>",
    "generate": "generate <checkpoint> -o out --dataset <photos>",
    "preview": "preview <checkpoint> -o out.png --dataset <photos>",
    "report": "report <synthetic> --real <photos> -o out",
    "join": "join <synthetic> -o out",
    "push": "push <synthetic> ann/set",
    "export": "export <synthetic> -o out",
    "train": "train <script> <splits> --model wrn_28_2 --num-classes 2 --aug-synthetic <synthetic>",
    "plan": "plan <recipe>",
    "run": "run <recipe> -o out",
    "replay": "replay <synthetic> 0 --model <checkpoint> --dataset-source <photos>",
    "demo": "demo -o out",
    "compare": "compare <comparing> -o out --synthetic mvc=<synthetic>",
    "sweep": "sweep <comparing> -o out",
}


def with_value(command: str, option: str, value: str) -> list[str]:
    """The good command line with one value replaced: that of a flag, or of `<...>` where that is given."""
    words = FINE[command].split()
    if option.startswith("-"):
        if option in words:
            words[words.index(option) + 1] = value
            return words
        return [*words, option, value]
    words[words.index(option)] = value
    return words


# Paths: names that no file can have, and things that are there but are not what is asked for.

NO_NAME = ["a\0b", "a\udcff", LONG, "<file>/below"]
READ = [
    ("caption", "<photos>"), ("finetune", "<photos>"), ("finetune", "--base"), ("finetune", "--captions"),
    ("finetune", "--caption-model"), ("generate", "<checkpoint>"), ("generate", "--dataset"), ("preview",
    "<checkpoint>"),
    ("preview", "--dataset"), ("preview", "--base"), ("join", "<synthetic>"),
    ("push", "<synthetic>"), ("train", "<script>"), ("train",
    "<splits>"),
    ("train", "--aug-synthetic"), ("train", "--resume"), ("train", "--config"), ("plan", "<recipe>"), ("run",
    "<recipe>"),
    ("replay", "<synthetic>"), ("replay", "--model"), ("replay", "--dataset-source"),
    ("report", "<synthetic>"), ("report", "--real"), ("report", "--holdout"), ("report", "--feature-weights"),
    ("export", "<synthetic>"), ("export", "--with-real"),
    ("train", "--aug-scores"), ("compare", "<comparing>"), ("compare", "--test-dataset"), ("compare", "--script"),
    ("sweep", "<comparing>"), ("sweep", "--script"), ("sweep", "--validation-dataset"),
]  # fmt: skip
WRITTEN = [
    ("caption", "-o"), ("finetune", "-o"), ("generate", "-o"), ("join", "-o"), ("preview", "-o"), ("run", "-o"),
    ("demo", "-o"), ("replay", "-o"), ("report", "-o"), ("compare", "-o"), ("sweep", "-o"), ("export", "-o"),
]  # fmt: skip


def paths() -> Iterator[Case]:
    for command, option in READ:
        others = ["<none>", "<pipe>", "/dev/zero", "<empty>", "<file>", ""]
        for value in [*NO_NAME, *others]:
            line = with_value(command, option, value)
            if option == "--captions" and value not in (*NO_NAME, ""):
                line[-1] += ".parquet" if value in ("<none>", "<pipe>", "<empty>", "<file>") else ""
            if option == "--caption-model":
                line += ["--captioner", "blip2"]
            if option == "--feature-weights":
                line += ["--features", "test_resnet"]
            if option == "--aug-scores":
                line += ["--aug-filter", "label_confidence > 0"]
            if (
                value == ""
                and option
                in (
                    "--base",
                    "--resume",
                    "--config",
                    "--caption-model",
                    "--model",
                    "--dataset",
                    "--dataset-source",
                    "--test-dataset",
                    "--validation-dataset",
                    "--script",
                    "--holdout",
                )
                and (command, option) != ("finetune", "--base")
            ):
                continue  # as if it were not given
            if (command, option, value) == ("train", "--resume", "<file>"):
                continue  # the short script does not read it
            if (command, option) == ("preview", "--base") and value == "<empty>":
                continue  # the other columns are drawn
            yield case("path read", line)
    for command, option in WRITTEN:
        for value in [*NO_NAME, "<file>", "<pipe>", "/dev/zero", "/sys/none", "<foreign>"]:
            if (command, value) != ("replay", "<file>"):  # that is written over
                yield case("path written", with_value(command, option, value))


# Numbers


def numbers() -> Iterator[Case]:
    commands = {CAPTION: "caption", FINETUNE: "finetune", GENERATE: "generate"}
    seen = set()
    for stage, command in commands.items():
        for setting in dataclasses.fields(Recipe):
            kind, name = str(setting.type).split(" |")[0], flag(setting.name)
            if stage not in setting.metadata["on"] or kind not in ("int", "float") or setting.name in seen:
                continue
            seen.add(setting.name)
            for value in ("nan", "inf", "-1", DIGITS):
                yield case("number", [*FINE[command].split(), f"{name}={value}"])
    for command, settings in (("compare", CompareSettings), ("sweep", SweepSettings)):
        for setting in dataclasses.fields(settings):
            if setting.name not in seen and str(setting.type).split(" |")[0] in ("int", "float"):
                seen.add(setting.name)
                for value in ("nan", "inf", "-1", DIGITS):
                    yield case("number", [*FINE[command].split(), f"{flag(setting.name)}={value}"])
    for command, settings in (("report", AssessSettings), ("export", ExportSettings)):
        for setting in dataclasses.fields(settings):
            if str(setting.type).startswith("int"):
                for value in ("nan", "inf", "-1", DIGITS):
                    yield case("number", [*FINE[command].split(), f"{flag(setting.name)}={value}"])
    for line in ("preview <checkpoint> --rows {}", "replay <synthetic> {}", "replay <synthetic> 0 --tolerance {}",
                 "train <script> <splits> --aug-synthetic <synthetic> --aug-prob {}",
                 "train <script> <splits> --aug-synthetic <synthetic> --aug-ratio {}",
                 "train <script> <splits> --aug-synthetic <synthetic> --aug-epoch {}",
                 "train <script> <splits> --aug-synthetic <synthetic> --aug-phase2-lr-scale {}"):  # fmt: skip
        for value in ("nan", "-inf", "-1", "many", "0x10"):
            yield case("number", line.format(value))
    for line in ("preview <checkpoint> --dataset <photos> --rows {}", "replay <synthetic> {}"):
        yield case("number", line.format(DIGITS))


# Names and words

WORDS = {
    "generate": {
        "--scheduler": ["none", "", "UNet2DConditionModel", "__doc__", "os", "DDIMScheduler ",
        "FlowMatchEulerDiscreteScheduler",
                        "ScoreSdeVeScheduler", "KarrasVeScheduler", "\u202e"],
        "--method": ["none", ""], "--mixed-precision": ["fp8"], "--group-column": ["none"],
        "--split": ["none", "train[", "train[:x]", "train[:0]", ""], "--image-column": ["none"],
    },
    "finetune": {
        "--class-names": ["<none>", "<file>", "<photos>"],
        "--captions": ["column:none", "column:", "none", "<photos>", "<synthetic>/manifest.json", "none.txt",
        "none.csv", "none.jsonl"],
        "--lr-scheduler": ["none"], "--pairing": ["none"], "--fit": ["none"], "--mixed-precision": ["none"],
        "--window": ["x", "1", "2,1", "nan,1", "1,1", "a,b", "auto,auto", f"0,{DIGITS}"],
        "--resolution": ["7", "17", "0"], "--label-column": ["none"], "--caption-prompt": ["\0"],
        "--adam-beta1": ["1"], "--holdout-fraction": ["0.9"], "--optimizer": ["none", "adamw16bit"],
    },
    "report": {
        "--features": ["none", "", "../x", "hf-hub:org/x", "local-dir:<checkpoint>", "resnet18.none", "resnet81", LONG,
        "\u202e", "tf_efficientnet_lite0.in1k"],
        "--feature-weights": ["<base>/unet/diffusion_pytorch_model.safetensors"], "--feature-size": ["7", "2000"],
        "--split": ["none", "train[", "test"], "--real-split": ["none", "test", ""], "--image-column": ["none"],
        "--label-column": ["none"], "--fit": ["none"], "--window": ["x", "2,1"], "--folds": ["1", "21"],
        "--neighbours": ["1"], "--block-size": ["15", "65537"], "--batch-size": ["0"], "--holdout": ["<sets>/loose"],
    },
    "export": {
        "--layout": ["zip", ""], "--split": ["none", "test"], "--image-column": ["none"], "--label-column": ["none"],
        "--real-split": ["none", "test"], "--real-image-column": ["image"], "--real-label-column": ["label"],
        "--with-real": ["<sets>/loose"], "--max-real-per-class": ["3"], "--window": ["x", "2,1"],
        "--scores": ["<none>"], "--shard-size": ["0", "10"],
        "--where": ["nonsense > 1", "index >", "index > 1000", "prompt > 1", "mix > 1", "image == 1", "index",
        "label_confidence > 0.2", "__import__('os')", "(" * 900, "", LONG, "\u202e"],
    },
    "preview": {
        "--classes": ["nobody", "0", "apple,nobody", ",", ""],
        "--settings": ["x", "1", "1,2,3", "-1,0", f"{DIGITS},1", "", "1,1 2,2 3,3 4,4 5,5 6,6 7,7 8,8 9,9"],
        "--rows": ["51"], "-o": ["out", "out.parquet", "none/out.png", "."],
    },
    "compare": {
        "--classifier": ["resnet81", "a/b", ""], "--classifier-kwargs": ["depth", "=1", "depth=11 width=0", "none=1"],
        "--augmentations": ["none,none", "wild", ",", "augmix-m3"], "--schedules": ["none", "", "rsp,rsp"],
        "--lr": ["fast", "0", "nan", "1,1", "-1", DIGITS], "--phase2-epochs": ["3"], "--batch-size": ["5"],
        "--test-split": ["none", "train", ""], "--script-flags": ["--opt sgd"], "--methods": [",", "mvc,mvc"],
        "--synthetic": ["mvc", "=x", "x=", "{b}=x", "\u202e=x", "mvc=x", "a=<none>", "a=<sets>/rowless.parquet",
        "a=<sets>/loose"],
        "--input-size": ["3"], "--workers": ["0"],
    },
    "sweep": {
        "--coarse": ["x", "1.5", "1025", "1,1", "-1", ",".join(map(str, range(1001)))],
        "--fine": ["5000"], "--guidance-scale": ["nan", "-1"], "--num-inference-steps": ["0", "0.5"],
        "--aug-ratio": ["0", "nan"], "--schedule": ["none"], "--augmentation": ["wild"], "--shown": ["0"],
        "--lr": ["0.1,0.2"],
        "--validation-fraction": ["0"],
    },
}  # fmt: skip
DATA = [
    "a/b/c", "a b/c", "../x", "org/", "/x", "org/name@", "@", "org/name:config@x:y", "http://x", "torchvision:",
    "torchvision:nonsense", "torchvision:os", "~nobody/x", "<photos>/*.parquet", "[", "org/--x", "org/x..y",
    "hf://x/y",
    "\u202eorg/x",
]  # fmt: skip


def words() -> Iterator[Case]:
    for command, options in WORDS.items():
        for option, values in options.items():
            for value in values:
                yield case("word", with_value(command, option, value))
    for command, option in (("caption", "<photos>"), ("train", "--aug-synthetic"), ("report", "--real")):
        for value in DATA:
            yield case("name of a data set", with_value(command, option, value))
    for command, option in (("finetune", "--base"), ("generate", "<checkpoint>"), ("replay", "--model")):
        for value in ("a/b/c", "org/none", "org/none@", "@x", "org/x@y@z", "http://x/y", ".", "..", "/", "~"):
            yield case("name of a model", with_value(command, option, value))


# Recipes

LAUGHS = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "\n".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefghi", "bcdefghij")
)
TEXTS = {
    "r.yaml": [
        "", "null", "- a", "5", "coarse", "coarse: [", "\ufffe", "a: \x1b", "coarse: 1\ncoarse: 2",
        "batch-size: 1\nbatch_size: 2",
        "captions: x\ncaptioner: y", "coars: 1", "coarse: x", "coarse: [1]", "coarse: {a: 1}", "coarse: null",
        "coarse: 1.5",
        "coarse: true", "coarse: -1", f"coarse: {DIGITS}", f"learning_rate: {DIGITS}", "learning_rate: .nan",
        "guidance_scale: .inf", "learning_rate: 1e400", "seed: 0x1" + "0" * 9000, LAUGHS, "[" * 50_000, "- " * 50_000,
        "dataset: \"a\\0b\"", 'output: "a\\0b"', 'dataset: "\\ud800"', 'base: "\\udcff"', "dataset: " + LONG,
        "output: " + LONG,
        "dataset: !!python/object/apply:os.system [ls]", "dataset: !!timestamp x", "seed: 2024-13-45", "? [a]\n: 1",
        "a: 1\n---\nb: 2", "dataset: *x", "private: 1", "private: true", "hub_model_id: 5", "push_to_hub: maybe",
        "output: 5",
        "total: 5\nper_image: 5", "balance: true", "guidance_start: 0.9\nguidance_stop: 0.1", "scheduler: none",
        "method: none",
        "dataset: <none>", "dataset: <pipe>", "base: <empty>", "model: <empty>", "model: org/none",
        "model: ''\nbase: ''",
    ],
    "r.json": [
        "", "{", "[]", "null", '{"coarse": 1, "coarse": 2}', '{"coarse": NaN}', '{"learning_rate": Infinity}',
        "[" * 50_000,
        '{"a":' * 50_000, '{"seed": ' + "1" * 9000 + "}", '{"dataset": "\\ud800"}', '{"dataset": "\\u0000"}',
        "{'coarse': 1}",
        '{"coarse": "1"}', '{"": 1}',
    ],
}  # fmt: skip
COMMON = {"dataset": "<photos>", "base": "<base>", "output": "out"}


def recipes() -> Iterator[Case]:
    for name, texts in TEXTS.items():
        for number, _ in enumerate(texts):
            for command in ("run", "plan")[: 1 if number % 3 else 2]:  # both read it alike
                yield case("recipe", [command, f"<recipes>/{number}/{name}"])
    for name in ("large.yaml", "binary.yaml", "loop.yaml"):
        for command in ("plan", "run"):
            yield case("recipe", [command, f"<recipes>/{name}"])


SECTION_TEXTS = [
    "compare: 5", "compare: {sedes: 1}", "compare: {seeds: many}", "compare: {lr: [[1]]}", "compare: {lr: {a: 1}}",
    "compare: {schedules: []}", "compare: {model: a, classifier: b}", "compare: {synthetic: 5}",
    "compare: {synthetic: {a: 5}}", "compare: {synthetic: {'a/b': x}}", 'compare: {synthetic: {a: "x\\0"}}',
    'compare: {classifier: "\\ud800"}', "compare: {seeds: 1, seeds: 2}", "compare: {synthetic: {mvc: <none>}}",
    "compar: {seeds: 1}", "sweep: [1]",
]  # fmt: skip


def sections() -> Iterator[Case]:
    for number, _ in enumerate(SECTION_TEXTS):
        yield case("section", ["compare", f"<recipes>/section-{number}.yaml"])
    for name in ("0/r.yaml", "6/r.yaml", "0/r.json", "large.yaml", "binary.yaml"):
        for command in ("compare", "sweep"):
            yield case("section", [command, f"<recipes>/{name}"])
    for command in ("compare", "sweep"):
        yield case("section", FINE[command], environment={"WORLD_SIZE": "2"})
    yield case("section", "compare <comparing> -o <trial>/out --synthetic mvc=<synthetic>")
    yield case("section", "compare <comparing> -o out --synthetic mvc=<synthetic> --test-dataset <trial>/train")
    for command in ("compare", "sweep"):
        yield case("section", [*FINE[command].split(), "--budget", "--classifier", "none"])


# Models

GARBAGE = {
    "empty": b"",
    "null": b"null",
    "list": b"[]",
    "dict": b"{}",
    "text": b"nonsense",
    "bytes": b"\xff\x00",
    "nested": b"[" * 50_000,
}
DAMAGED = {
    "mvc.json": GARBAGE, "model_index.json": GARBAGE, "captions.parquet": {"empty": b"", "text": b"nonsense"},
    "unet/config.json": GARBAGE, "vae/config.json": {"dict": b"{}", "list": b"[]"},
    "text_encoder/config.json": {"dict": b"{}", "text": b"nonsense"}, 
    "scheduler/scheduler_config.json": {"empty": b"", "list": b"[]", "text": b"nonsense", "nested": b"[" * 50_000},
    "tokenizer/tokenizer.json": {"empty": b"", "dict": b"{}", "text": b"nonsense"},
    "unet/diffusion_pytorch_model.safetensors": {"empty": b"", "text": b"nonsense", "cut": None},
    "text_encoder/model.safetensors": {"cut": None}, "vae/diffusion_pytorch_model.safetensors": {"cut": None},
}  # fmt: skip
GONE = [
    "mvc.json",
    "captions.parquet",
    "model_index.json",
    "unet",
    "unet/diffusion_pytorch_model.safetensors",
    "tokenizer",
]


def models() -> Iterator[Case]:
    for name, how in DAMAGED.items():
        for fault in how:
            place = f"<models>/{name.replace('/', '-')}-{fault}"
            yield case("damaged model", with_value("generate", "<checkpoint>", place))
            if name.startswith(("model_index", "unet")) or fault == "cut":
                yield case("damaged model", with_value("finetune", "--base", place))
    for name in GONE:
        place = f"<models>/{name.replace('/', '-')}-gone"
        for command in ("generate", "preview"):
            yield case("damaged model", with_value(command, "<checkpoint>", place))
        if name not in ("mvc.json", "captions.parquet"):
            yield case("damaged model", with_value("finetune", "--base", place))
    for command, option in (("finetune", "--base"), ("generate", "<checkpoint>")):
        yield case("damaged model", with_value(command, option, "<models>/single.safetensors"))


# Data sets

SETS = [
    "loose", "text", "classless", "hollow", "piped", "dangling", "broken", "saved", "odd-names", "garbage.parquet",
    "cut.parquet",
    "imageless.parquet", "labelless.parquet", "uint64.parquet", "negative.parquet", "floats.parquet", "nested.parquet",
    "rowless.parquet", "pathed.parquet", "photos.zip", "photos.csv",
]  # fmt: skip


def data_sets() -> Iterator[Case]:
    for name in SETS:
        if name not in ("broken", "piped", "uint64.parquet", "pathed.parquet"):  # of these captions can be made
            yield case("data set", with_value("caption", "<photos>", f"<sets>/{name}"))
        if name not in ("odd-names", "hollow"):
            yield case("data set", with_value("train", "--aug-synthetic", f"<sets>/{name}"))
    for name in ("text", "garbage.parquet", "labelless.parquet", "saved", "odd-names", "photos.zip"):
        yield case("data set", with_value("compare", "--test-dataset", f"<sets>/{name}"))
        yield case("data set", [*FINE["compare"].split()[:4], "--synthetic", f"mvc=<sets>/{name}"])
        yield case("data set", with_value("sweep", "--validation-dataset", f"<sets>/{name}"))
    for name in ("loose", "dangling", "broken", "saved", "odd-names", "uint64.parquet"):
        yield case("data set", with_value("generate", "--dataset", f"<sets>/{name}"))
    for name in SETS:
        if name not in ("uint64.parquet", "pathed.parquet"):
            yield case("data set", with_value("report", "<synthetic>", f"<sets>/{name}"))
            yield case("data set", with_value("report", "--real", f"<sets>/{name}"))
    yield case("data set", with_value("finetune", "<photos>", "<sets>/broken"))
    yield case("data set", "replay <sets>/imageless.parquet 0")
    yield case("data set", "replay <photos> 0")
    yield case("data set", "replay <synthetic> 6")
    yield case("data set", "push <photos> ann/set")


# Folders that are written to


def outputs() -> Iterator[Case]:
    yield case("output", with_value("generate", "-o", "<photos>/synthetic"))
    yield case("output", with_value("finetune", "-o", "<photos>/checkpoint"))
    yield case("output", with_value("finetune", "-o", "<photos>"))
    yield case("output", with_value("generate", "-o", "<photos>"))
    yield case("output", with_value("generate", "-o", "<checkpoint>"))
    yield case("output", with_value("finetune", "-o", "<checkpoint>"))
    yield case("output", with_value("finetune", "-o", "<base>"))
    yield case("output", with_value("report", "-o", "<photos>/report"))
    yield case("output", with_value("report", "-o", "<photos>"))
    yield case("output", with_value("report", "-o", "<synthetic>"))
    for place in ("<photos>/export", "<photos>", "<synthetic>", "<synthetic>/export", "<foreign>"):
        yield case("output", [*with_value("export", "-o", place), "--with-real", "<photos>"])
    yield case("output", with_value("demo", "-o", "<photos>"))
    yield case("output", with_value("demo", "-o", "<checkpoint>"))
    yield case("output", with_value("generate", "-o", "<synthetic>"))  # of another recipe
    for fault in GARBAGE:
        yield case("output", with_value("generate", "-o", f"<outputs>/manifest-{fault}"))
        yield case("output", ["push", f"<outputs>/manifest-{fault}", "ann/set"])
        yield case("output", ["join", f"<outputs>/manifest-{fault}", "-o", "out"])
    for other in ("<photos>", "<checkpoint>", "<empty>"):
        yield case("output", ["join", "<synthetic>", other, "-o", "out"])
        yield case("output", ["join", "<synthetic>", "-o", other] if other != "<empty>" else ["join", "-o", "out"])
    for shards in ("", "x", "3:3", "5:2", "-1", "1-3", "0:99", "6", "0:2,9", "9" * 30, ",", "²", "0x1"):
        yield case(
            "output", [*FINE["generate"].split(), "--images-per-class", "9", "--shard-size", "3", "--shards", shards]
        )
    for options in (
        "--tasks 0", "--workers 0", "--tasks x", "--executor spark", "--tasks 5", "--partition gpu",
        "--executor slurm --partition gpu", "--executor slurm --partition gpu --time 1:00:00",
        "--executor local --shards 0:1", "--sbatch-args account", "--executor local --sbatch-args account",
        "--shards 0:1 --push-to-hub",
    ):  # fmt: skip
        logs = [] if options == "--executor local" else ["--logging-dir", "logs"]
        yield case("output", [*FINE["generate"].split(), *options.split(), *logs])
    yield case("output", [*FINE["generate"].split(), "--executor", "local"])
    for name in ("manifest-empty", "run-empty", "<empty>", "<base>"):
        yield case("output", ["push", name if name.startswith("<") else f"<outputs>/{name}", "ann/set"])


# The Hub, and the environment

REPOSITORIES = [
    "a/b/c",
    "ann/my set",
    "../x",
    "",
    "nobody/set",
    "ann/x..y",
    "ann/" + LONG,
    "\u202eann/x",
    "ann/x@main",
]
REVISIONS = ["", "refs/pr/1", "refs/pr/x", "refs/tags/v1", "a b", "a..b", "-x", "\u202e", LONG, "refs/convert/parquet"]


def hub() -> Iterator[Case]:
    for name in REPOSITORIES:
        yield case("hub", ["push", "<synthetic>", name], hub=True)
    for name in REVISIONS:
        yield case("hub", ["push", "<synthetic>", "ann/set", f"--revision={name}"], hub=True)
    for name in ("", "a b", "refs/tags/x", "-x"):
        yield case("hub", ["push", "<synthetic>", "ann/set", f"--tag={name}"], hub=True)
    for command in ("finetune", "generate"):
        kind = {"finetune": "model", "generate": "dataset"}[command]
        yield case("hub", f"{FINE[command]} --push-to-hub --hub-{kind}-id a/b/c", hub=True)
        yield case("hub", f"{FINE[command]} --push-to-hub --hub-{kind}-id nobody/x", hub=True)
        yield case("hub", f"{FINE[command]} --hub-{kind}-id ann/x", hub=True)
        yield case("hub", f"{FINE[command]} --private", hub=True)
        yield case("hub", f"{FINE[command]} --push-to-hub")  # offline
    yield case("hub", FINE["push"])
    for flags in ("--samples", "--no-samples", "--dataset <photos>"):
        yield case("usage", f"push <synthetic> ann/x {flags}")
    for name in ("link.json", "notes.txt", "Config.json"):
        yield case("hub", ["push", f"<hostile>/{name}", "ann/x"], hub=True)
    for name in ("manifest", "hashless", "flipped", "linked"):
        yield case("hub", ["push", f"<hostile>/{name}", "ann/x"], hub=True)
    for model in ("ann/none", "ann/data", "ann/x@none"):
        yield case("hub", with_value("generate", "<checkpoint>", model), hub=True)


ENVIRONMENTS = [
    {"HF_ENDPOINT": "http://[::1"}, {"HF_HUB_ETAG_TIMEOUT": "soon"}, {"HF_HUB_DOWNLOAD_TIMEOUT": "1.5"},
    {"WORLD_SIZE": "two"}, {"RANK": "first"}, {"LOCAL_RANK": "x"}, {"HF_DATASETS_IN_MEMORY_MAX_SIZE": "1GB"},
]  # fmt: skip


def environment() -> Iterator[Case]:
    for values in ENVIRONMENTS:
        for command in ("caption", "push", "demo"):
            yield case("environment", FINE[command], environment=values)
    for value in ("<file>", "<file>/x", "/sys/none", "/dev/zero"):
        yield case("environment", FINE["finetune"], environment={"MVC_HF_CACHE": value})
    for engine in ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED"):
        yield case("environment", FINE["finetune"], environment={engine: "true"})


# train


def train() -> Iterator[Case]:
    for flags in (
        "--num-classes 1", "--num-classes 0", "--num-classes -1", "--model resnet81", "--model ''", "--model a/b",
        "--model x:y",
        "--model resnet18.none", "--resume <none>", "--initial-checkpoint <none>", "--class-map <none>",
        "--config <none>",
        "--config <file>", "--opt none", "--aug-schedule none", "--aug-prob 2", "--aug-prob nan", "--aug-ratio 0",
        "--aug-ratio nan", "--aug-epoch none", "--aug-epoch 0", "--aug-epoch 1e3", "--aug-phase2-epochs 0",
        "--aug-phase2-epochs 4",
        f"--aug-phase2-epochs {DIGITS}", "--aug-phase2-lr-scale inf", "--aug-phase2-lr-scale 0", "--aug-rsp-from none",
        "--aug-label-match none", "--aug-synthetic", "--aug-synthetic <none>",
        "--aug-synthetic <synthetic> <none>", "--epochs 1",
        "--batch-size 1000", "--nonsense", "--aug-filter x", "--aug-filter label_confidence>0.2", "--aug-weights 1",
        "--aug-filter label_confidence>", "--aug-weights __import__('os')", "--aug-scores <file>", "--aug-scores",
        "--aug-filter 1>0 --aug-scores <file> <file>", f"--aug-filter {'(' * 900}", "--aug-weights \u202e",
        "--aug-policy none", "--aug-policy cifar10 --aa v0", "--aug-prob 0.5", "--aug-prob 0.8", "--aug-rsp-from any",
        "--aug-schedule rsp --aug-phase2-epochs 1", "--aug-schedule combined --aug-phase2-lr-scale 0.5",
        "--aug-schedule synthetic --aug-prob 0",
    ):  # fmt: skip
        yield case("train", f"{FINE['train']} {flags}".replace("''", ""))
    for name in ("train.txt", "other.py", "broken.py", "binary.py", "nested.py", "folder.py", "none.py"):
        yield case("train", ["train", f"<scripts>/{name}", "<splits>"])
    yield case("train", "train <script>")
    yield case("train", "train <script> <splits> --aug-prob 0.5")
    yield case("train", "train <script> <none> --aug-synthetic <synthetic>")
    yield case("train", "train <script> --dataset hfds//none --aug-synthetic <synthetic>")


USAGE = [
    "dance", "--nonsense", "caption", "finetune", "generate", "preview", "push", "train", "plan", "run", "replay",
    "replay x", "replay x y", "report", "report x", "report x y --real z",
    "caption x", "finetune x", "generate x", "demo x", "caption x -o y --nonsense 5", "push a b c", "replay x -1",
    "finetune x -o",
    "generate x -o y --balance", "generate x -o y --total 5 --per-image 5",
    "generate x -o y --guidance-start 0.5 --guidance-stop 0.5", "preview x --guidance-start 1",
    "finetune x -o y --base z --lora-keep-adapter",
    "finetune x -o y", "preview x --rows 0", "finetune x -o y --report-to wandb", "finetune x -o y --random_flip",
    "finetune x -o y --resume-from-checkpoint latest", "generate x -o y --lr-scheduler linear",
    "compare", "sweep", "compare x y", "compare x --seeds many", "sweep x --coarse", "compare ./none", "sweep ./none",
    "generate x -o y --images-per-class 0", "finetune x -o y --use-ema maybe", "plan x y", "\u202e", "demo --output",
]  # fmt: skip


def usage() -> Iterator[Case]:
    for line in USAGE:
        yield case("usage", line)


def all_cases() -> list[Case]:
    made = [paths, numbers, words, recipes, sections, models, data_sets, outputs, hub, environment, train, usage]
    return list(dict.fromkeys(c for kind in made for c in kind()))
