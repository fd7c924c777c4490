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
from pathlib import Path
from typing import Any, Final

import altair as alt
import vl_convert

from workbench.errors import ConfigError

MIME: Final = "application/vnd.vegalite.v5+json"
SCHEMA: Final = "https://vega.github.io/schema/vega-lite/v5.json"
VEGALITE: Final = "5.8"
"""The version that vl-convert has which is nearest to the one in JupyterLab."""
SCALE: Final = 2

Chart = alt.Chart | alt.LayerChart | alt.VConcatChart | alt.HConcatChart | alt.FacetChart


def spec_of(chart: Chart) -> dict[str, Any]:
    """Return a chart as a Vega-Lite 5 specification with its data inside."""
    return relabelled(chart.to_dict())


def relabelled(spec: dict[str, Any]) -> dict[str, Any]:
    """Label a specification as Vega-Lite 5, and keep its data on this machine."""
    # The chart's menu would offer to open it, data and all, in an editor on the internet.
    embed = {"actions": {"export": True, "source": False, "compiled": False, "editor": False}}
    meta = spec.get("usermeta") or {}
    return {**spec, "$schema": SCHEMA, "usermeta": {"embedOptions": embed, **meta}}


def png(spec: dict[str, Any]) -> bytes:
    """Draw a specification as a PNG, at twice the size for sharp screens; the same bytes each time."""
    # No base URL is allowed: data is inside, and nothing is fetched.
    picture: bytes = vl_convert.vegalite_to_png(
        spec, vl_version=VEGALITE, scale=SCALE, allowed_base_urls=[]
    )
    return picture


def render(spec: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the MIME bundle of a chart and its metadata; Altair's renderer.

    A chart that cannot be drawn here (one of the user's own, with data behind a URL) has no PNG.
    """
    lite = relabelled(spec)
    bundle: dict[str, Any] = {MIME: lite, "text/plain": _plain(spec)}
    try:
        picture = png(lite)
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
    target.write_bytes(write(spec_of(chart)))
    return target


def _svg(spec: dict[str, Any]) -> bytes:
    picture: str = vl_convert.vegalite_to_svg(spec, vl_version=VEGALITE, allowed_base_urls=[])
    return picture.encode()


def _page(spec: dict[str, Any]) -> bytes:
    """Write a page of our own: vl-convert's lets a payload with ``</script>`` in it end the script."""
    inside = json.dumps(spec, ensure_ascii=False, sort_keys=True).replace("<", "\\u003c")
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
    bundled: str = vl_convert.javascript_bundle(None, VEGALITE)  # type: ignore[arg-type]  # the stub is wrong
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
