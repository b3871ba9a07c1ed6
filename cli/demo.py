"""mvc-hf demo"""

from __future__ import annotations

from pathlib import Path

import click


@click.command("demo")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default=Path("mvc-demo"), show_default=True, help="folder"
)
def command(output: Path) -> None:
    """Fine-tune the embedded base on 200 real images, generate 1,000 new ones, and see what a classifier gains.

    Leaves a contact sheet and a table: a small classifier of timm's on the real images alone and with the new ones,
    at equal numbers of updates, on five seeds. Needs no network and no GPU. The same command, given again after an
    interruption, goes on where it was.

    \b
    Example:
      mvc-hf demo -o mvc-demo
    """
    from ..workflows.demo import CAPTION_COLUMN, demo

    assets = demo(output)

    from ..plugins.timm_comparison import demo_trial, table

    found = demo_trial(output, assets / "real.parquet", assets / "test.parquet")
    click.echo(
        f"""
{table(found)}
(200 real images, 2,000 test images; mean ± standard deviation over 5 seeds; ± half of the 95 % interval; equal numbers
of updates; timm's resnet10t, narrowed. The embedded base is tiny and was made for these things: it shows the way, not
what Stable Diffusion's images are worth.)

{output / "contact_sheet.png"}   real, MVC and pretrained images of each class, side by side
{output / "checkpoint"}          the fine-tuned model, a plain diffusers pipeline
{output / "synthetic"}           1,000 new images: load_dataset("{output / "synthetic"}")
{output / "results.json"}        settings, losses, times and the table

Next:
  mvc-hf report {output / "synthetic"} --real {assets / "real.parquet"} --holdout {assets / "test.parquet"}
  mvc-hf generate {output / "checkpoint"} -o more --dataset {assets / "real.parquet"} --seed 1 --guidance-scale 3
  mvc-hf finetune {assets / "real.parquet"} -o mine --base {assets / "base"} --captions column:{CAPTION_COLUMN}
  mvc-hf finetune YOUR_FOLDER -o checkpoint --base stable-diffusion-v1-5/stable-diffusion-v1-5
  mvc-hf train train.py YOUR_FOLDER --model resnet18 --aug-synthetic synthetic     (`mvc-hf train` says where it is)"""
    )
