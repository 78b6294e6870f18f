"""The loop-back GitHub's objects as its REST interface writes them."""

from __future__ import annotations

from typing import Any

from loopback.world import ChangedFile, Comment, Person, Pull, World, sha, stamp


def user(person: Person, base: str) -> dict[str, Any] | None:
    if not person.login:
        return None
    page = f"{base}/users/{person.login}"
    urls = ("followers", "following", "gists", "starred", "subscriptions", "organizations", "repos", "events")
    return {
        "login": person.login, "id": int(sha(person.login)[:7], 16), "node_id": f"U_{person.login}", "type": person.type,
        "site_admin": False, "url": page, "html_url": f"https://github.com/{person.login}", **{f"{u}_url": f"{page}/{u}" for u in urls},
    }  # fmt: skip


def pull(world: World, p: Pull, base: str) -> dict[str, Any]:
    api = f"{base}/repos/{world.repo}"
    return {
        "url": f"{api}/pulls/{p.number}", "id": 10_000_000 + p.number, "node_id": p.node_id, "number": p.number,
        "html_url": f"https://github.com/{world.repo}/pull/{p.number}", "state": p.state, "locked": False, "title": p.title,
        "user": user(p.user, base), "body": p.body, "created_at": stamp(p.created), "updated_at": stamp(p.updated),
        "closed_at": stamp(p.closed), "merged_at": stamp(p.merged), "merge_commit_sha": sha("merge", p.number),
        "assignee": None, "requested_reviewers": [], "labels": [{"id": 1, "name": name, "color": "ededed"} for name in p.labels],
        "draft": p.draft, "author_association": p.user.association, "auto_merge": None,
        "head": {"label": f"{p.user.login}:topic-{p.number}", "ref": f"topic-{p.number}", "sha": p.head, "user": user(p.user, base), "repo": None},
        "base": {"label": "acme:main", "ref": "main", "sha": sha("base", p.number), "repo": {"full_name": world.repo}},
    }  # fmt: skip


def comment(world: World, c: Comment, base: str) -> dict[str, Any]:
    api, page = f"{base}/repos/{world.repo}", f"https://github.com/{world.repo}"
    said = {
        "id": c.id, "node_id": f"C_{c.id}", "user": user(c.user, base), "body": c.body, "created_at": stamp(c.created),
        "updated_at": stamp(c.updated), "author_association": c.user.association, "reactions": {"total_count": 0},
    }  # fmt: skip
    if c.kind != "inline":
        where = "pull" if c.kind == "conversation" else "issues"
        return said | {
            "url": f"{api}/issues/comments/{c.id}", "issue_url": f"{api}/issues/{c.number}",
            "html_url": f"{page}/{where}/{c.number}#issuecomment-{c.id}", "performed_via_github_app": None,
        }  # fmt: skip
    is_file = c.subject == "file"
    reply = {"in_reply_to_id": c.reply_to} if c.reply_to else {}
    return said | reply | {
        "url": f"{api}/pulls/comments/{c.id}", "pull_request_url": f"{api}/pulls/{c.number}",
        "html_url": f"{page}/pull/{c.number}#discussion_r{c.id}", "pull_request_review_id": c.review or None,
        "diff_hunk": c.hunk, "path": c.path, "commit_id": c.commit, "original_commit_id": c.commit, "subject_type": c.subject,
        "line": None if is_file else c.line, "original_line": None if is_file else c.original_line,
        "start_line": c.start_line, "original_start_line": c.original_start_line, "side": c.side, "start_side": None,
        "position": None if c.line is None else 1, "original_position": 1,
    }  # fmt: skip


def changed_file(f: ChangedFile) -> dict[str, Any]:
    row = {"sha": f.sha, "filename": f.path, "status": f.status, "additions": f.additions, "deletions": f.deletions, "changes": f.additions + f.deletions}  # fmt: skip
    return row | ({"patch": f.patch} if f.patch else {})
