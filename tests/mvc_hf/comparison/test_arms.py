from __future__ import annotations

from mvc_hf.comparison.arms import Arm, all_arms, file_name


def test_each_augmentation_stands_before_what_synthetic_images_add_to_it():
    arms = all_arms(["randaugment", "none"], ["mvc", "other"], ["rsp"])
    assert [arm.name for arm in arms] == [
        "real alone", "+ mvc, RSP", "+ other, RSP",
        "RandAugment", "RandAugment + mvc, RSP", "RandAugment + other, RSP",
    ]  # fmt: skip
    assert [arm.reference.name if arm.reference else None for arm in arms] == [
        None, "real alone", "real alone", "real alone", "RandAugment", "RandAugment",
    ]  # fmt: skip


def test_real_images_alone_are_there_though_only_an_augmentation_is_asked_for():
    arms = all_arms(["autoaugment"], ["mvc"], ["combined"])
    assert [arm.name for arm in arms] == ["real alone", "AutoAugment", "AutoAugment + mvc, combined"]


def test_names_of_files_are_plain_and_of_one_arm_each():
    assert Arm().file == "real-alone" and file_name("two-phase") == "two-phase" and file_name("RSP") == "rsp"
    names = ["a/b", "a b", "a.b", "A+b", "../a b", "ä b", " a b", "x" * 300, "x" * 301]
    files = [file_name(name) for name in names]
    assert len(set(files)) == len(names) and all(set(f) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for f in files)
    assert max(map(len, files)) < 80
