"""The cells of a notebook that shows one of everything: results, and their charts."""

from __future__ import annotations

from typing import Final

CELLS: Final = [
    (
        "",
        "import workbench as wb\n"
        "from workbench.bundled import account_summary, checkout_saga, sample\n"
        "bank, shop = sample('bank'), sample('checkout')\n"
        "log, orders = wb.open(), wb.open()\n"
        "_ = log.load(wb.files(bank.events, name='bank'), progress=False)\n"
        "_ = orders.load(wb.files(shop.events, name='checkout'), progress=False)\n"
        "for name in ('dead_letters', 'dead_letters_axon', 'dead_letters_wolverine'):\n"
        "    path = shop.events.parent / f'{name}.parquet'\n"
        "    _ = orders.load(wb.dead_letters(path, name=name), progress=False)\n"
        "model = wb.read_model(bank.read_model, version='version')",
    ),
    ("health", "log"),
    ("rates", "log.rates()"),
    ("rates chart", "log.rates().chart()"),
    ("replay", "log.replay(account_summary, as_of='2026-03-31T12:00Z')"),
    ("history", "log.history(account_summary, stream='acc-000774')"),
    ("timeline chart", "log.timeline('acc-000774', account_summary).chart()"),
    ("diff", "found = log.diff(account_summary, model)\nfound"),
    ("diff chart", "found.chart()"),
    ("explanation", "why = found.explain()\nwhy"),
    ("explanation chart", "why.chart()"),
    ("histories chart", "why.histories('acc-000774').chart()"),
    ("repair", "why.repair()"),
    ("audit", "log.audit('acc-000774')"),
    ("audit chart", "log.audit('acc-000774').chart()"),
    ("census", "log.census()"),
    ("census chart", "log.census().chart()"),
    ("sagas", "sagas = orders.sagas(checkout_saga)\nsagas"),
    ("sagas chart", "sagas.chart()"),
    ("instance chart", "sagas.instance(sagas.stuck().rows(1)[0]['saga_id']).chart()"),
    ("dead letters", "letters = orders.dead_letters()\nletters"),
    ("dead letters chart", "letters.chart()"),
    ("fingerprints", "letters.fingerprints()"),
    (
        "causation",
        "flow = orders.sql('FROM events WHERE correlation_id IS NOT NULL').rows(1)[0]['correlation_id']\n"
        "orders.causation(flow)",
    ),
    ("causation chart", "orders.causation(flow).chart()"),
    ("causes", "orders.causation()"),
]
