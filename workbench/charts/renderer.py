"""How a chart gets out: into a notebook without the internet, or into a file that stands alone.

Altair speaks Vega-Lite 6; JupyterLab brings Vega-Lite 5 along and shows nothing else without fetching
scripts. So a chart is handed over as Vega-Lite 5, with a PNG twin for whoever cannot draw it (a reopened
notebook, a converter, a forge) and its description as text.
"""

from __future__ import annotations

import functools
import html
import json
import struct
import zlib
from pathlib import Path
from typing import Any, Final

import altair as alt
import vl_convert

from workbench.errors import ConfigError

MIME: Final = "application/vnd.vegalite.v5+json"
SCHEMA: Final = "https://vega.github.io/schema/vega-lite/v5.json"
VEGALITE: Final = "5.8"
"""The version that vl-convert has which is nearest to the one in JupyterLab."""
NATIVE: Final = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
"""The version that Altair writes; a page of our own brings it along."""
SCALE: Final = 2

Chart = alt.Chart | alt.LayerChart | alt.VConcatChart | alt.HConcatChart | alt.FacetChart


def as_version_5(spec: dict[str, Any]) -> dict[str, Any]:
    """Label a specification as Vega-Lite 5."""
    return {**_closed(spec), "$schema": SCHEMA}


def png(spec: dict[str, Any]) -> bytes:
    """Draw a specification as a PNG, at twice the size for sharp screens; the same bytes each time."""
    # No base URL is allowed: data is inside, and nothing is fetched.
    picture: bytes = vl_convert.vegalite_to_png(
        as_version_5(spec), vl_version=VEGALITE, scale=SCALE, allowed_base_urls=[]
    )
    return _packed(picture)


def _packed(picture: bytes) -> bytes:
    """Compress the pixels of a PNG again: vl-convert is quick about it, and leaves them five times as large."""
    found, pixels, at = [], b"", 8
    while at < len(picture):
        size, kind = struct.unpack(">I4s", picture[at : at + 8])
        body = picture[at + 8 : at + 8 + size]
        at += 12 + size
        if kind == b"IDAT":
            pixels += body
        else:
            found.append((kind, body))
    found.insert(-1, (b"IDAT", zlib.compress(zlib.decompress(pixels))))  # the last one is IEND
    chunks = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in found
    )
    return picture[:8] + b"".join(chunks)


def render(spec: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the MIME bundle of a chart and its metadata; Altair's renderer.

    A chart that cannot be drawn here (one of the user's own, with data behind a URL) has no PNG.
    """
    bundle: dict[str, Any] = {MIME: as_version_5(spec), "text/plain": _plain(spec)}
    try:
        picture = png(spec)
    except ValueError:
        return bundle, {}
    width, height = struct.unpack(">II", picture[16:24])  # as a PNG's header says
    bundle["image/png"] = picture
    size = {"width": width // SCALE, "height": height // SCALE, "alt": bundle["text/plain"]}
    return bundle, {"image/png": size}


def save(chart: Chart, path: str | Path) -> Path:
    """Write a chart to a file.

    Parameters
    ----------
    chart
        What a chart function or ``result.chart()`` gave.
    path
        ``.html`` (alone and offline: the library is inside), ``.png`` (twice the size) or ``.svg``.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ConfigError
        The ending is another one, or the folder is not there.
    """
    target = Path(path)
    write = _WRITERS.get(target.suffix.lower())
    if write is None:
        message = f"a chart cannot be saved as {target.name!r}."
        raise ConfigError(message, hint=f"end the name with {', '.join(_WRITERS)}")
    if not target.parent.is_dir():
        message = f"{target} cannot be made: there is no folder {target.parent}."
        raise ConfigError(message, hint="make the folder first")
    target.write_bytes(write(chart.to_dict()))
    return target


def _closed(spec: dict[str, Any]) -> dict[str, Any]:
    """Keep a chart's data on this machine: its menu would offer to open it in an editor on the internet."""
    embed = {"actions": {"export": True, "source": False, "compiled": False, "editor": False}}
    meta = spec.get("usermeta") or {}
    return {**spec, "usermeta": {"embedOptions": embed, **meta}}


def _svg(spec: dict[str, Any]) -> bytes:
    picture: str = vl_convert.vegalite_to_svg(
        as_version_5(spec), vl_version=VEGALITE, allowed_base_urls=[]
    )
    return picture.encode()


def _page(spec: dict[str, Any]) -> bytes:
    """Write a page of our own: vl-convert's lets a payload with ``</script>`` in it end the script."""
    inside = json.dumps(_closed(spec), ensure_ascii=False, sort_keys=True).replace("<", "\\u003c")
    about = html.escape(_plain(spec), quote=True)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{html.escape(_title(spec))}</title>
<style>body {{ margin: 1rem; background: #fff; }} details {{ font: 13px sans-serif; color: #59636e; }}</style>
<script>{_library()}</script>
</head>
<body>
<div id="chart" role="img" aria-label="{about}"></div>
<script>
vegaEmbed("#chart", {inside}, {{"mode": "vega-lite", "renderer": "svg"}});
</script>
</body>
</html>
""".encode()


@functools.cache
def _library() -> str:
    # Without a snippet the bundle puts vegaEmbed on the window; its stub wants one.
    bundled: str = vl_convert.javascript_bundle(None, NATIVE)  # type: ignore[arg-type]  # the stub is wrong
    return bundled


def _plain(spec: dict[str, Any]) -> str:
    return str(spec.get("description") or _title(spec))


def _title(spec: dict[str, Any]) -> str:
    title = spec.get("title", "")
    found = title.get("text", "") if isinstance(title, dict) else title
    return str(found) or "A chart"


_WRITERS: Final = {".html": _page, ".png": png, ".svg": _svg}

alt.renderers.register("workbench", render)
alt.renderers.enable("workbench")
