"""A model card written from the record of a run: nothing in it that was not recorded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from zerosum import catalog
from zerosum.formatting import format_value, metric_words
from zerosum.generation.export.program import condition_name, describe_program
from zerosum.generation.sampler import TrainedGenerator
from zerosum.run_folder import RunFolder

UNKNOWN_LICENCE = "unknown"
MOST_NAMED = 12
"""Classes or attributes that the card names one by one."""
PROTOCOL = ("extractor", "num_real", "num_fake", "split", "resize", "seed", "sample_seed", "weights", "step")


def model_card(generator: TrainedGenerator, config: Mapping[str, Any], licence: str | None, preview: str) -> str:
    """README.md: YAML front matter and Markdown. licence: an identifier of the hub (apache-2.0, cc-by-4.0, ...)."""
    info, recipe = generator.sampler.info, generator.recipe
    parts = [
        _front_matter(licence, generator.domain.media.pixels),
        f"# {info.name or recipe.name}, by {recipe.name}\n",
        f"{'!' if generator.domain.media.draws else ''}[Samples of seed 0]({preview})\n",
        f"A generator trained as one side of a two-player game (a GAN) with [zerosum]: {recipe.why}\n",
        _table(
            {
                "data": generator.domain.data.describe(info),
                "package of the domain": _package(generator),
                "fingerprint of the data (SHA-256)": info.fingerprint,
                "recipe": f"{recipe.name}, loss {recipe.loss}, penalties {', '.join(recipe.penalties) or 'none'}",
                "generator": f"{config['architectures'][0]}, {_count(generator):,} parameters",
                "noise": f"{recipe.prior.size} numbers, {recipe.prior.kind}",
                "told": _told(generator),
                "trained": f"{config['step']:,} steps of {recipe.batch} rows, seed {recipe.seed}, {recipe.precision}",
                "weights": "the average of the generator over training"
                if recipe.ema.half_life_samples
                else "the last step's",
                "SHA-256 of model.safetensors": config["sha256"],
            }
        ),
        "The complete recipe, with every setting, is in `config.json`.\n",
        "## How to use it\n",
        _usage(generator),
        "## Measured\n",
        _measured(generator),
        "## Limits\n",
        _limits(generator),
        "[zerosum]: a system for generative adversarial networks in PyTorch; `pip install` it from where you found it.\n",
    ]
    return "\n".join(parts)


def _front_matter(licence: str | None, pictures: bool) -> str:
    task = ["pipeline_tag: unconditional-image-generation"] if pictures else []
    tags = ["gan", "generative-adversarial-network", "pytorch", *(["image-generation"] if pictures else [])]
    lines = [
        f"license: {licence or UNKNOWN_LICENCE}",
        "library_name: zerosum",
        *task,
        "tags:",
        *[f"- {tag}" for tag in tags],
    ]
    return "\n".join(["---", *lines, "---", ""])


def _table(rows: Mapping[str, Any]) -> str:
    return "\n".join(["| | |", "|---|---|", *[f"| {name} | {text} |" for name, text in rows.items() if text != ""], ""])


def _count(generator: TrainedGenerator) -> int:
    return sum(p.numel() for p in generator.sampler.network.parameters())


def _told(generator: TrainedGenerator) -> str:
    about = describe_program(generator)
    if about["classes"]:
        named = [f"{i} {name}" if str(i) != name else name for i, name in enumerate(about["classes"])]
        return f"one of {len(named)} classes: {_some(named)}"
    return f"attributes: {_some(about['attributes'])}" if about["attributes"] else "nothing but noise"


def _some(names: Sequence[str]) -> str:
    """All names, or the first of many; all are in config.json."""
    return ", ".join(names) if len(names) <= MOST_NAMED else ", ".join([*names[:MOST_NAMED], "... (see config.json)"])


def _package(generator: TrainedGenerator) -> str:
    """The installed package that the domain comes from; "" for a domain of zerosum itself."""
    if generator.domain.name in catalog.listed_domains():
        return ""
    found = catalog.package_of(generator.domain.name)
    return f"{found[0]} {found[1]}" if found else "none: a program registered the domain with `zerosum.register`"


def _installing(generator: TrainedGenerator) -> str:
    """What has to be there before a generator of a domain from outside can be loaded; "" for a domain of zerosum itself."""
    if generator.domain.name in catalog.listed_domains():
        return ""
    name, found = generator.domain.name, catalog.package_of(generator.domain.name)
    if found is None:
        return (
            f"The domain {name!r} is not part of zerosum, and no installed package brought it. Get the code that defines it from "
            "the author of this generator, and call `zerosum.register(DOMAIN)` before `zerosum.load`.\n\n"
        )
    return (
        f"The domain {name!r} is not part of zerosum. The package {found[0]} brings it (version {found[1]} wrote this card). "
        f"Install it beside zerosum first: `pip install {found[0]}` where it is published on an index, else `pip install` with "
        "the folder or address where its author offers it.\n\n"
    )


def _usage(generator: TrainedGenerator) -> str:
    condition = condition_name(generator.sampler)
    given = {None: "", "labels": ", labels", "attributes": ", attributes", "condition": ", condition"}[condition]
    extra = {
        None: "",
        "labels": "labels = torch.arange(16) % len(config['dataset']['condition']['counts'])\n",
        "attributes": "attributes = torch.tensor(config['dataset']['condition']['rows'])[:16]\n",
        "condition": f"condition = {_drawn(generator)}\n",
    }[condition]
    noise = _noise(generator.sampler.prior).format(
        n=f"len({condition})" if condition in ("attributes", "condition") else "16"
    )
    pixels = generator.domain.media.pixels
    kind = "images in [-1, 1]" if pixels else "encoded as for training"
    real = "" if pixels else "Tensors are encoded as for training; `zerosum sample` decodes them.\n\n"
    return f"""{_installing(generator)}```
zerosum sample .                  # in this folder
```

{real}```python
import zerosum
samples = zerosum.load(".").sample(16, seed=0)      # (16, ...), {kind}
```

With torch and safetensors at hand, step by step:

```python
import json, torch
from safetensors.torch import load_file
from zerosum import catalog, domain, recipe

config = json.load(open("config.json"))
info = domain.DatasetInfo.from_json(config["dataset"])
game = catalog.domain({generator.recipe.domain!r}).game.build(recipe.parse(config["recipe"]), info)
generator = game.players["generator"].eval()
generator.load_state_dict(load_file("model.safetensors"))
{extra}noise = {noise}
samples = generator(noise{given}){".clamp(-1, 1)" if pixels else ""}
```
"""


def _drawn(generator: TrainedGenerator) -> str:
    """Code for conditions: those of the stored examples, or those that request nothing."""
    if generator.sampler.examples is not None:
        return "load_file('examples.safetensors')['condition'][:16]"
    return "info.condition.sample(16, seed=0)"


def _noise(prior: Any) -> str:
    """Noise of a prior as an expression; {n} stands for the number of rows."""
    drawn: dict[str, str] = {
        "normal": f"torch.randn({{n}}, {prior.size})",
        "uniform": f"torch.rand({{n}}, {prior.size}) * 2 - 1",
        "truncated_normal": f"torch.nn.init.trunc_normal_(torch.empty({{n}}, {prior.size}), a=-{prior.limit}, b={prior.limit})",
    }
    return drawn[prior.kind]


def _measured(generator: TrainedGenerator) -> str:
    records = RunFolder(generator.path).last_records()
    if not records:
        return "Nothing was measured.\n"
    protocols = [{name: r["protocol"][name] for name in PROTOCOL if name in r["protocol"]} for r in records]
    shared = {name: value for name, value in protocols[0].items() if all(p.get(name) == value for p in protocols)}
    lines = ["| measure | value | unseen reals | better | with |", "|---|---|---|---|---|"]
    for record, protocol in zip(records, protocols, strict=True):
        error = f" ± {record['error']:.2g}" if record.get("error") is not None else ""
        floor = "" if record.get("reference") is None else f"{record['reference']:.4g}"
        details = _listed({name: value for name, value in protocol.items() if name not in shared})
        wanted = "cannot judge" if record["protocol"].get("cannot_judge") else record["better"]
        name = metric_words(record["name"].partition("[")[0].replace("_", " "))
        lines.append(f"| {name} | {record['value']:.4g}{error} | {floor} | {wanted} | {details} |")
    common = [f"For all of them: {_listed(shared)}.", ""] if shared else []
    full = json.dumps({record["name"]: record["protocol"] for record in records}, indent=1, ensure_ascii=False)
    whole = ["<details><summary>The full protocols</summary>", "", "```json", full, "```", "", "</details>"]
    return "\n".join([*lines, "", *common, "± is one standard error.", "", *whole, ""])


def _listed(protocol: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {format_value(value)}" for name, value in protocol.items())


def _limits(generator: TrainedGenerator) -> str:
    info, kind = generator.sampler.info, "images" if generator.domain.media.pixels else "samples"
    lines = [f"- It has seen {info.num_rows:,} training rows and nothing else; what they lack, it lacks."]
    if generator.domain.media.pixels:
        lines.append(
            f"- It makes {kind} of {info.sample.axes['width']} x {info.sample.axes['height']} pixels, no other size."
        )
    lines += [
        "- It may repeat training rows nearly literally; the measures of memorisation above, where taken, say how often.",
        "- A measure holds for its protocol alone: other extractors, counts of samples or resizing give other numbers.",
        f"- Whether these {kind} may be used is a matter of the licence of the data as well as of these weights.",
    ]
    return "\n".join([*lines, ""])
