"""What has to hold for anything that a notebook shows; ``test_faults.py`` proves that each of these can fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.browser.lab import Lab, until

READABLE = 4.4
"""Contrast of text with what is behind it: by WCAG 2 at level AA it is 4.5, and JupyterLab's own muted text has 4.498."""


def quiet(lab: Lab) -> None:
    """No error in the page, its console or the kernel, and nothing asked of another machine."""
    problems = lab.problems
    assert not problems, "\n".join(problems)
    calls = [call for call in lab.server.calls if call != "watching"]
    assert not calls, f"a kernel called {calls}"


def inert(lab: Lab) -> None:
    """Nothing of a payload runs, or could."""
    assert lab.page.evaluate("() => window.pwned") is None, "a payload ran"
    live: list[str] = lab.page.evaluate(_LIVE)
    assert not live, f"a payload is part of the page: {live}"


_LIVE = """() => [...document.querySelectorAll('.jp-OutputArea *')].filter(node =>
    !node.matches('form.vega-bindings')  // Vega's own, beside each chart
    && (['SCRIPT', 'IFRAME', 'OBJECT', 'EMBED', 'FORM', 'LINK', 'META', 'BASE'].includes(node.tagName.toUpperCase())
    || [...node.attributes].some(one => one.name.toLowerCase().startsWith('on')
        || (['href', 'src', 'xlink:href', 'formaction'].includes(one.name.toLowerCase())
            && /^\\s*(javascript|https?|data:text)/i.test(one.value)))))
    .map(node => node.outerHTML.slice(0, 200))"""


def readable(lab: Lab) -> None:
    """Every text of every output stands out from what is behind it."""
    faint: list[str] = lab.page.evaluate(_FAINT, READABLE)
    assert not faint, f"text that cannot be read: {faint[:10]}"


_FAINT = """least => {
    const rgba = colour => {
        const parts = colour.match(/[\\d.]+/g).map(Number);
        return parts.length === 3 ? [...parts, 1] : parts;
    };
    const over = (top, below) => [0, 1, 2].map(at => top[at] * top[3] + below[at] * (1 - top[3]));
    const light = colour => {
        const [r, g, b] = colour.map(part => {
            const share = part / 255;
            return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = node => {
        const layers = [];
        for (let at = node; at; at = at.parentElement) {
            const colour = rgba(getComputedStyle(at).backgroundColor);
            if (colour[3] > 0) layers.push(colour);
            if (colour[3] === 1) break;
        }
        return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
    };
    const found = [];
    for (const area of document.querySelectorAll('.jp-Cell-outputArea')) {
        const walker = document.createTreeWalker(area, NodeFilter.SHOW_TEXT);
        for (let text = walker.nextNode(); text; text = walker.nextNode()) {
            const node = text.parentElement;
            if (!text.data.trim() || !node.checkVisibility() || node.closest('svg, canvas, style, :disabled, .jp-OutputPrompt')) continue;
            const ground = behind(node);
            const ink = over(rgba(getComputedStyle(node).color), ground);
            const [low, high] = [light(ink), light(ground)].sort((a, b) => a - b);
            const contrast = (high + 0.05) / (low + 0.05);
            if (contrast < least) found.push(`${contrast.toFixed(2)}: ${text.data.trim().slice(0, 60)}`);
        }
    }
    return found;
}"""


def changes(
    lab: Lab, read: Callable[[], Any], act: Callable[[], object], *, seconds: float = 30
) -> Any:
    """What is read is another thing after the act; return it."""
    before = read()
    act()
    return until(
        lab.page, read, lambda seen: seen != before, what="the view did not change", seconds=seconds
    )


def same_as(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> None:
    """A notebook that was opened again shows every table and picture that it showed."""
    assert len(after) == len(before)
    for was, now in zip(before, after, strict=True):
        assert now["tables"] == was["tables"], was["text"][:200]
        assert now["pictures"] >= min(was["pictures"], 1), was["text"][:200]
        assert now["text"].strip() or not was["text"].strip(), was["text"][:200]
