"""A signature counts in the mode that is asked for, and where there is none nothing counts."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
import pytest

from infwasi_sign.cli.group import cli
from infwasi_sign.domain.refusals import EXPLANATIONS
from infwasi_sign.errors import RefusalKind
from infwasi_sign.testing.sigstore import PrivateSigstore
from tests.modes_support import (
    ALICE,
    CERTIFICATE,
    CERTIFIED,
    MANIFEST,
    PACK,
    bring_certificate,
    bring_instance,
    make_project,
    nobody,
    run,
)

MODES: Final = ("key", "certificate", "keyless")
# The ready policy's `[[signer]]`, in each mode.
SIGNERS: Final = {
    "key": 'keys = [{ file = "release.pub" }]',
    "certificate": (
        'certificates = [{ identity = "release@example.com", roots = "root.pem", '
        'intermediates = "chain.pem", valid-at = "current-time" }]'
    ),
    "keyless": 'identities = [{ identity = "alice@example.test", issuer = "ISSUER" }]',
}


@dataclass(frozen=True)
class Site:
    """One project that was packed in each mode, and the ways to verify it."""

    folder: Path
    env: dict[str, str]
    issuer: str

    def package(self, mode: str) -> Path:
        return self.folder / mode / "capital-1.0.0"

    def flags(self, mode: str) -> tuple[str, ...]:
        identity = ("--identity", ALICE, "--issuer", self.issuer, "--trust-root", "root.json")
        return {"key": ("--key", "release.pub"), "certificate": CERTIFIED, "keyless": identity}[
            mode
        ]

    def policy(self, *modes: str) -> tuple[str, ...]:
        """A policy with one signer for each mode."""
        signers = "".join(
            f'[[signer]]\nname = "{mode}"\n{SIGNERS[mode].replace("ISSUER", self.issuer)}\n'
            for mode in modes
        )
        root = '[sigstore]\ntrust-root = "root.json"\n' if "keyless" in modes else ""
        path = self.folder / f"{'-'.join(modes)}.toml"
        path.write_text(f'version = 1\n{signers}[[package]]\nname = "capital"\n{root}')
        return "--policy", path.name

    def verdict(self, package: Path, *trust: str) -> tuple[int, list[str]]:
        done = run("verify", package, *trust, cwd=self.folder, env=self.env, is_offline=True)
        return done.code, done.said


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("modes")
    folder, env = make_project(home / "project"), nobody(home)
    with PrivateSigstore() as instance:
        bring_instance(folder, instance)
        bring_certificate(folder, instance)
        assert run("keygen", "--no-passphrase", "release", cwd=folder, env=env).code == 0
        token = ("--identity-token", instance.token(ALICE))
        for mode, words in (
            ("key", ("pack", "--sign", "--key", "release.key")),
            ("certificate", ("pack", "--sign", *CERTIFICATE)),
            ("keyless", (*PACK, *token)),
            ("unsigned", ("pack",)),
        ):
            done = run(*words, "--output", mode, cwd=folder, env=env)
            assert done.code == 0, done.said
        yield Site(folder=folder, env=env, issuer=instance.issuer)


def in_another_mode(asked: str, signed: str) -> list[str]:
    return [
        f"refused: signer: signed in mode {signed}, in which nobody is trusted in "
        f"verificationMaterial (expected {asked}, got {signed})",
        f"hint: {EXPLANATIONS[RefusalKind.SIGNER].hint}",
    ]


@pytest.mark.parametrize("way", ["flags", "policy"])
@pytest.mark.parametrize("signed", MODES)
@pytest.mark.parametrize("asked", MODES)
def test_only_the_mode_that_is_asked_for_counts(
    asked: str, signed: str, way: str, site: Site
) -> None:
    trust = site.flags(asked) if way == "flags" else site.policy(asked)
    expected = (0, []) if asked == signed else (1, in_another_mode(asked, signed))
    assert site.verdict(site.package(signed), *trust) == expected


@pytest.mark.parametrize("signed", MODES)
def test_a_policy_may_trust_all_modes_and_none_stands_in_for_another(
    signed: str, site: Site
) -> None:
    assert site.verdict(site.package(signed), *site.policy(*MODES)) == (0, [])
    others = [mode for mode in MODES if mode != signed]
    code, said = site.verdict(site.package(signed), *site.policy(*others))
    assert code == 1
    assert said[0].startswith(f"refused: signer: signed in mode {signed}, in which nobody is ")


# --- without a signature -----------------------------------------------------------------------


def unsigned(package: Path) -> list[str]:
    return [
        f"refused: unsigned: the package is not signed in {package} "
        "(expected manifest.sigstore.json)",
        f"hint: {EXPLANATIONS[RefusalKind.UNSIGNED].hint}",
    ]


@pytest.mark.parametrize("asked", [*MODES, "policy"])
@pytest.mark.parametrize("was", ["unsigned", *MODES])
def test_without_a_bundle_it_is_unsigned_whatever_it_was(
    was: str, asked: str, site: Site, tmp_path: Path
) -> None:
    """Though the companion, which says of every file what it is, is still there and genuine."""
    package = tmp_path / "capital-1.0.0"
    shutil.copytree(site.package(was), package)
    (package / MANIFEST.rsplit("/", 1)[1]).unlink(missing_ok=True)
    assert (package / "model.sig").exists() == (was != "unsigned")
    trust = site.policy(*MODES) if asked == "policy" else site.flags(asked)
    code, said = site.verdict(package, *trust)
    assert code == 1
    assert said[0].startswith("refused: unsigned: ")
    assert said[1] == unsigned(package)[1]


def commands(found: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    if isinstance(found, click.Group):
        for word in found.list_commands(click.Context(found)):
            inner = found.get_command(click.Context(found), word)
            assert inner is not None
            yield from commands(inner, f"{name} {word}")
    else:
        yield name, found


COMMANDS: Final = dict(commands(cli, "infwasi"))
# What such an option would be called, in the tools that have one.
WEAKENS: Final = re.compile(
    r"unsigned|unsafe|insecure|danger|skip|ignore|allow|bypass|lax|permissive|without|unverified|"
    r"no-(verify|sign|check|signature|tlog|policy)|any-|trust-all|dev"
)
HARMLESS: Final = {("infwasi pack", "--no-sign")}  # the package is then refused by everybody


def test_no_option_says_that_a_signature_may_be_missing() -> None:
    assert {"infwasi verify", "infwasi verify-and-run", "infwasi pack"} <= COMMANDS.keys()
    found = {
        (name, option)
        for name, command in COMMANDS.items()
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
        if WEAKENS.search(option)
    }
    assert found == HARMLESS


def flags() -> list[str]:
    return sorted(
        option
        for parameter in COMMANDS["infwasi verify"].params
        if isinstance(parameter, click.Option) and parameter.is_flag
        for option in parameter.opts
        if option.startswith("--")
    )


@pytest.mark.parametrize("flag", flags())
def test_no_flag_makes_an_unsigned_package_pass(flag: str, site: Site) -> None:
    done = run(
        *("verify", site.package("unsigned"), "--key", "release.pub", flag),
        cwd=site.folder,
        env=site.env,
        is_offline=True,
    )
    assert done.code == (0 if flag == "--help" else 1)
    if flag not in {"--json", "--help"}:
        assert done.said[0].startswith("refused: unsigned: ")


def test_a_variable_makes_none_pass_either(site: Site) -> None:
    """Every variable that the sources read, with every word that means yes."""
    sources = "".join(
        path.read_text() for path in (Path(__file__).parent.parent / "infwasi_sign").rglob("*.py")
    )
    names = sorted(set(re.findall(r'"(INFWASI_[A-Z0-9_]+)"', sources)) - {"INFWASI_STATE_DIR"})
    assert names
    for word in ("1", "true"):
        env = {**site.env, **dict.fromkeys(names, word)}
        done = run(
            *("verify", site.package("unsigned"), "--key", "release.pub"),
            cwd=site.folder,
            env=env,
            is_offline=True,
        )
        assert done.code == 1
        assert done.said[0].startswith("refused: unsigned: ")


def test_policy_init_writes_a_policy_for_an_identity(site: Site) -> None:
    words = ("--identity", ALICE, "--issuer", site.issuer, "--trust-root", "root.json")
    package = str(site.package("keyless").relative_to(site.folder))
    done = run("policy", "init", package, *words, cwd=site.folder, env=site.env)
    assert (done.code, done.said) == (0, [])
    named = done.out.replace("[sigstore]\n", '[sigstore]\ntrust-root = "root.json"\n')
    (site.folder / "init.toml").write_text(named)
    checked = run("policy", "check", "--strict", "init.toml", cwd=site.folder, env=site.env)
    assert (checked.code, checked.said) == (0, [])
    assert run("verify", package, "--policy", "init.toml", cwd=site.folder, env=site.env).code == 0
    other = str(site.package("key").relative_to(site.folder))
    assert run("verify", other, "--policy", "init.toml", cwd=site.folder, env=site.env).code == 1


def test_policy_init_asks_whom_to_trust(site: Site) -> None:
    done = run("policy", "init", "keyless/capital-1.0.0", cwd=site.folder, env=site.env)
    assert done.transcript == (
        2,
        "",
        ["error: nobody is named (expected --key, or --identity with --issuer)"],
    )
