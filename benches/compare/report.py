"""Medians, and the ratios of runs of the same round."""

import collections
import statistics

# Figures of which the ratio to a peer says something.
COMPARED = ("cpu_us", "user_us", "per_s", "per_core_s", "p50_us", "p99_us", "cpu_s_gb", "gb_s", "kib_session", "beside_ratio", "scaling", "all")

WIDEST = 12


def summarize(runs):
    """{"medians": {test: {proxy: {figure: value}}}, "ratios": {test: {peer: {figure: value}}}}. A ratio is the first proxy's figure in
    multiples of the peer's."""
    rounds = collections.defaultdict(dict)
    order = []
    for run in runs:
        rounds[run["test"], run["proxy"]][run["round"]] = run
        if run["proxy"] not in order:
            order.append(run["proxy"])
    medians, ratios = collections.defaultdict(dict), collections.defaultdict(dict)
    for (test, proxy), by_round in rounds.items():
        names = [name for name in next(iter(by_round.values())) if name not in ("test", "proxy", "round")]
        figures = {}
        for name in names:
            values = [run[name] for run in by_round.values() if run.get(name) is not None]
            if values:
                figures[name] = sum(values) if name == "errors" else statistics.median(values)
        figures["rounds"] = len(by_round)
        medians[test][proxy] = figures
        base = rounds.get((test, order[0]), {})
        if proxy != order[0] and base:
            pairs = [(base[number], run) for number, run in by_round.items() if number in base]
            ratios[test][proxy] = {
                name: round(statistics.median(one[name] / other[name] for one, other in known), 3)
                for name in COMPARED
                if (known := [(one, other) for one, other in pairs if one.get(name) is not None and other.get(name)])
            }
    return {"base": order[0] if order else None, "medians": medians, "ratios": ratios}


def table(result):
    lines = []
    for test, by_proxy in result["medians"].items():
        names = list(dict.fromkeys(name for figures in by_proxy.values() for name in figures))
        rows = [[test, *names]]
        for proxy, figures in by_proxy.items():
            rows.append([proxy, *(text(figures.get(name)) for name in names)])
        # A column for each proxy, where the figures would not fit beside each other.
        lines += ["", *columns(rows if len(names) <= WIDEST else list(zip(*rows)))]
        ratios = result["ratios"].get(test)
        if ratios:
            names = list(dict.fromkeys(name for figures in ratios.values() for name in figures))
            rows = [[f"{result['base']} /", *names]]
            rows += [[proxy, *(text(figures.get(name)) for name in names)] for proxy, figures in ratios.items()]
            lines += ["", *columns(rows)]
    return "\n".join(lines)


def text(value):
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}" if value < 1 else f"{value:.2f}".rstrip("0").rstrip(".")


def columns(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(widths[0]) if i == 0 else cell.rjust(widths[i]) for i, cell in enumerate(row)) for row in rows]
