"""A family manual as an Agent Skill: a folder with SKILL.md and the history, in the public format coding agents install.

The format: YAML front matter with `name` (at most 64 lower-case letters, digits and hyphens, the folder's name) and
`description` (at most 1024 characters), then Markdown; the body is kept under 500 lines, details stand in references/.
"""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from ingest.errors import PrloreError
from kb.manuals.manual import Manual
from kb.reports.manuals import history_lines, manual_markdown
from kb.reports.safe import markdown_text, one_line

_NAME_LIMIT = 64
_DESCRIPTION_LIMIT = 1024
BODY_LIMIT = 500
_A_THEME = (6, 4, 3, 2, 1)


class SkillError(PrloreError):
    """A skill folder that the format does not allow, or a place it can't be written to."""


def skill_name(manual: Manual) -> str:
    """`sglang-moss-vl`: engine and family, as the format allows."""
    slug = "-".join([manual.evidence.engine, *(f.slug for f in manual.evidence.families[:2])])
    return re.sub(r"[^a-z0-9]+", "-", slug.lower()).strip("-")[:_NAME_LIMIT].rstrip("-")


def skill_files(manual: Manual) -> dict[str, str]:
    """The files of the skill by path.

    Raises:
        SkillError: the manual can't be brought under the limits of the format.
    """
    evidence = manual.evidence
    name = skill_name(manual)
    aliases = list(dict.fromkeys(one_line(a) for f in evidence.families for a in (f.name, *f.classes)))
    description = (
        f"Evidence from {len(evidence.cards)} merged pull requests about {manual.name} in {evidence.engine}, "
        f"indexed to {evidence.indexed_at[:10] or 'the embedded cards'}: source paths and symbols, changes by theme, what to capture, "
        f"validation lanes, risks. Use when work in {evidence.engine} concerns {', '.join(aliases)}."
    )[:_DESCRIPTION_LIMIT]
    front = yaml.safe_dump(
        {"name": name, "description": description}, sort_keys=False, allow_unicode=True, width=10_000
    )
    body = next((b for n in _A_THEME if (b := _body(manual, n)).count("\n") < BODY_LIMIT), None)
    if body is None:
        body = _cut(_body(manual, _A_THEME[-1]))
    history = (
        "\n".join(
            [
                f"# Pull requests about {markdown_text(manual.name)} in {evidence.engine}",
                "",
                *history_lines(evidence.cards),
            ]
        )
        + "\n"
    )
    files = {"SKILL.md": f"---\n{front}---\n\n{body}", "references/pr-history.md": history}
    check_skill(files, name)
    return files


def _body(manual: Manual, a_theme: int) -> str:
    text = manual_markdown(manual, a_theme)
    return text + "\nAll pull requests, newest first: [references/pr-history.md](references/pr-history.md).\n"


def _cut(body: str) -> str:
    """A body of too many lines loses the ends of its longest sections, each saying what it lost."""
    sections = re.split(r"(?m)^(?=#{1,3} )", body)
    while sum(s.count("\n") for s in sections) >= BODY_LIMIT - len(sections):
        longest = max(range(len(sections)), key=lambda i: sections[i].count("\n"))
        lines = sections[longest].rstrip("\n").split("\n")
        kept = lines[: max(4, len(lines) * 3 // 4)]
        if len(kept) == len(lines):
            break
        sections[longest] = "\n".join([*kept, "- and more: see references/pr-history.md", ""]) + "\n"
    return "".join(sections)


def check_skill(files: dict[str, str], folder: str) -> None:
    """Check the files of a skill against the format.

    Raises:
        SkillError: with the rule that is broken.
    """
    match = re.match(r"---\n(.*?)\n---\n(.*)\Z", files.get("SKILL.md", ""), re.DOTALL)
    if match is None:
        raise SkillError("SKILL.md has no front matter")
    try:
        front = yaml.safe_load(match[1])
    except yaml.YAMLError as exc:
        raise SkillError(f"the front matter of SKILL.md is no YAML: {str(exc).splitlines()[0]}") from exc
    name, description = str((front or {}).get("name", "")), str((front or {}).get("description", ""))
    if not re.fullmatch(r"[a-z0-9]+(?:-[a-z0-9]+)*", name) or len(name) > _NAME_LIMIT:
        raise SkillError(
            f"{name!r} is no skill name: at most {_NAME_LIMIT} lower-case letters, digits and single hyphens"
        )
    if name != folder:
        raise SkillError(f"the skill {name!r} stands in the folder {folder!r}")
    if not description.strip() or len(description) > _DESCRIPTION_LIMIT:
        raise SkillError(
            f"the description has {len(description)} characters: 1 to {_DESCRIPTION_LIMIT} are allowed"
        )
    if "<" in description or "\n" in description.strip():
        raise SkillError("the description has markup or line breaks")
    lines = match[2].count("\n")
    if lines >= BODY_LIMIT:
        raise SkillError(f"the body of SKILL.md has {lines} lines: {BODY_LIMIT - 1} are allowed")
    missing = [t for t in re.findall(r"\]\((references/[^)]+)\)", match[2]) if t not in files]
    if missing:
        raise SkillError(f"SKILL.md links to {missing[0]}, which is not there")


def write_skill(manual: Manual, out: Path) -> Path:
    """Write the skill folder below `out`; files of an earlier run are replaced.

    Raises:
        SkillError: the place can't be written.
    """
    folder = out / skill_name(manual)
    try:
        for path, text in skill_files(manual).items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise SkillError(f"can't write {folder}: {exc.strerror}") from exc
    return folder
