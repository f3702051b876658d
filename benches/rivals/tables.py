"""The pages of the rivals. In: what a session measured. Out: rivals.md, or the page that stands where no session was run yet."""

import os
import time

from jobs import ENOUGH, TOO_LATE_MS, W1, W3, W4, keeps_up
from pinned import cpu_name


def page(rows, skipped, repeats, seconds, quick, loads):
    lines = [
        "# Rivals", "",
        f"Made by `just rivals{' --quick' if quick else ''}`; [docs/performance.md](../../docs/performance.md) says how they are run, what is fair "
        "and what is not.", "",
        f"Machine: {os.cpu_count()} cores, {cpu_name()}; server on core 0, load client on core 1, TLS 1.3 on loopback. "
        f"{time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC, {seconds / 60:.1f} minutes. **Load average from {loads[0]:.1f} to {loads[1]:.1f}**: "
        "what else ran on these cores is in all numbers below, more in those of the servers that need most.", "",
        repeats.told(), "",
        f"{W1.clients:,} clients, {W1.topics_per_client} of {W1.topics} topics each. *W1*: {W1.rate} updates/s, {W1.wanted_per_second():,.0f} "
        f"deliveries/s{'' if quick else ', medians of three runs'}. *W1 max*: the highest rate tried at which everything came, p99 below "
        f"{TOO_LATE_MS} ms. *Most delivered*: the highest rate of deliveries seen in any of the runs for W1 max, without loss but however late. "
        "In brackets: Tickwire's number divided by the rival's.", "",
        *w1_table(rows), "",
        "*stolen*: in the worst run of W1, and in that of W1 max. *load*: load average of the machine when the server's first turn came (1 or 2 are the "
        "bench itself). `-`: no rate that was tried held, or there was no time, or it would say nothing new.", "",
    ]  # fmt: skip
    if any(row.get("w3") or row.get("w4") for row in rows):
        lines += [*loads_intro(), "", *loads_table(rows), ""]
    return "\n".join([*lines, *notes(rows, skipped)]).rstrip() + "\n"


def at(row, part, key):
    return (row.get(part) or {}).get(key)


def cell(value, form):
    return "-" if value is None else form.format(value)


def w1_table(rows):
    ours = next((row for row in rows if row["name"] == "tickwire"), {})

    def ratio(row, part, key):
        mine, theirs = at(ours, part, key), at(row, part, key)
        return f" ({mine / theirs:.2f})" if mine and theirs and not row["name"].startswith("tickwire") else ""

    yield (
        "| server | W1 max, deliveries/s | p99 there, ms | most delivered/s | us CPU a delivery there | W1, us CPU a delivery | W1 p50, ms | "
        "W1 p99, ms | W1 lost | stolen, % | KiB RSS idle, 1,000 | 5,000 | loaded | load |"
    )
    yield "|---|" + 13 * "---:|"
    for row in rows:
        yield "| " + " | ".join([
            row["name"],
            cell(at(row, "max", "deliveries_per_second"), "{:,.0f}") + ratio(row, "max", "deliveries_per_second"),
            cell(at(row, "max", "p99_ms"), "{:.1f}"),
            cell(at(row, "most", "deliveries_per_second"), "{:,.0f}") + ratio(row, "most", "deliveries_per_second"),
            cell(at(row, "most", "cpu_us_per_delivery"), "{:.2f}") + ratio(row, "most", "cpu_us_per_delivery"),
            cell(at(row, "base", "cpu_us_per_delivery"), "{:.1f}") + ratio(row, "base", "cpu_us_per_delivery"),
            cell(at(row, "base", "p50_ms"), "{:.2f}"),
            cell(at(row, "base", "p99_ms"), "{:.1f}") + ratio(row, "base", "p99_ms"),
            cell(at(row, "base", "lost"), "{}"),
            cell(at(row, "base", "stolen_percent"), "{:.1f}") + ", " + cell(at(row, "max", "stolen_percent"), "{:.1f}"),
            cell(at(row, "idle_1000", "rss_kib_per_connection"), "{:.1f}") + ratio(row, "idle_1000", "rss_kib_per_connection"),
            cell(at(row, "idle_5000", "rss_kib_per_connection"), "{:.1f}") + ratio(row, "idle_5000", "rss_kib_per_connection"),
            cell(at(row, "base", "rss_kib_per_connection_loaded"), "{:.1f}"),
            f"{row['load_average']:.1f}",
        ]) + " |"  # fmt: skip


def loads_intro():
    return [
        "## Many topics, and clients that are stuck", "",
        f"*W3*: {W3.clients} clients, each on all of {W3.topics:,} topics, {W3.rate:,} updates/s: {W3.wanted_per_second():,.0f} deliveries/s. "
        f"*W4*: {W4.clients} clients, each on all of {W4.topics} topics, {W4.rate:,} updates/s: {W4.wanted_per_second():,.0f} deliveries/s; one "
        f"client in ten reads nothing for 10 s of the {W4.seconds} s measured. *Delivered*: of what was wanted, to all clients; **who is below "
        f"{100 * ENOUGH:.0f} % does not keep up**, and its latencies are those of a queue that grows. Latencies are the healthy clients'. *Closed*: "
        "connections that the server ended, of clients that were stuck or behind for it, and of others. *Grown*: resident memory of the server "
        "while they were stuck; what the kernel's buffers hold is not in it. Tickwire keeps the last trades of each topic for clients that come back: in W4 they "
        "are there before the time measured, as after the first minute of any day.",
    ]  # fmt: skip


def loads_table(rows):
    same = "delivered | {0} p50, ms | {0} p99, ms | {0} us CPU a delivery | {0} lost | {0} closed"
    yield f"| server | W3 {same.format('W3')} | W3 stolen, % | W4 {same.format('W4')}: stuck, others | W4 grown, KiB | W4 stolen, % |"
    yield "|---|" + 15 * "---:|"

    def both(row, part):
        share = cell(at(row, part, "delivered_share"), "{:.0%}").replace("%", " %")
        return [
            share if share == "-" or keeps_up(row[part]) else f"**{share}**",
            cell(at(row, part, "p50_ms"), "{:.2f}"),
            cell(at(row, part, "p99_ms"), "{:.1f}"),
            cell(at(row, part, "cpu_us_per_delivery"), "{:.2f}"),
            cell(at(row, part, "lost"), "{:,}"),
        ]

    for row in rows:
        if row.get("w3") or row.get("w4"):
            yield "| " + " | ".join([
                row["name"],
                *both(row, "w3"),
                cell(at(row, "w3", "others_closed"), "{}"),
                cell(at(row, "w3", "stolen_percent"), "{:.1f}"),
                *both(row, "w4"),
                cell(at(row, "w4", "stuck_closed"), "{}") + ", " + cell(at(row, "w4", "others_closed"), "{}"),
                cell(at(row, "w4", "stuck_growth_kib"), "{:,}"),
                cell(at(row, "w4", "stolen_percent"), "{:.1f}"),
            ]) + " |"  # fmt: skip


def notes(rows, skipped):
    for row in rows:
        most = at(row, "max", "load_client_busy")
        if most and most > 0.9:
            yield f"- {row['name']}: the load client was busy for {most * 100:.0f} % of the time at W1 max, so its own limit may be what is seen."
        for part in ("w3", "w4"):
            run = row.get(part)
            if run and "deliveries" not in run:
                yield f"- {row['name']}, {part.upper()}: {run['first_fault']}."
            elif run and run["not_connected"]:
                yield f"- {row['name']}, {part.upper()}: {run['not_connected']} clients could not connect in time."
            if run and run.get("load_client_busy", 0) > 0.9:
                yield f"- {row['name']}, {part.upper()}: the load client was busy for {run['load_client_busy'] * 100:.0f} % of the time."
        if row.get("failed"):
            yield f"- {row['name']}: {row['failed']}"
    yield from (f"- {name}: skipped, {why}" for name, why in skipped.items())


def proof_page(rows, skipped, loads):
    """Stands where no session was run yet."""
    lines = [
        "# Rivals", "",
        "**Not measured yet.** Made by `just rivals --prove`: each server started and served 50 clients, 10 of 100 topics each, at "
        f"{W1.rate} updates/s for 3 s, verified. `just rivals` on a machine that does nothing else writes the comparison in place of this page.", "",
        f"Machine: {os.cpu_count()} cores, {cpu_name()}. {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC. Load average from "
        f"{loads[0]:.1f} to {loads[1]:.1f}: times would say nothing and are left out.", "",
        "| server | works | deliveries | lost | out of order or unreadable |", "|---|---|---:|---:|---|",
    ]  # fmt: skip
    for row in rows:
        run = row["run"]
        numbers = f"{run['deliveries']:,} | {run['lost']} | {run['first_fault'] or 'none'}" if run else "- | - | -"
        lines.append(f"| {row['name']} | {'yes' if row['proven'] else 'NO'} | {numbers} |")
    lines += [""] + [f"- {name}: skipped, {why}" for name, why in skipped.items()]
    return "\n".join(lines).rstrip() + "\n"
