//! What a binary frame says. In: one frame of `sbe`. Out: calls of `Decoded`, numbers as the frame has them. Bounded by the frame;
//! nothing is allocated.

use super::sbe::{self, BestBidAsk, Depth, Frame, SbeError, Scale, Trades};
use crate::engine::{BAD, BookUpdate, Complaint, Decoded, Number, Part, QuoteUpdate, RawLevel, TradeUpdate};
use wire::event::{Aggressor, Level};

/// Answers and notices are JSON, which has no NUL byte; the header of a frame has one in the number of its schema.
pub(super) fn is_frame(payload: &[u8]) -> bool {
    payload.iter().take(8).any(|byte| *byte == 0)
}

pub(super) fn frame(payload: &[u8], out: &mut Decoded) -> Result<(), Complaint> {
    match sbe::parse(payload).map_err(complaint)? {
        Frame::Trades(trades) => say_trades(&trades, out),
        Frame::BestBidAsk(best) => say_quote(&best, out),
        Frame::DepthDiff(depth) => say_depth(&depth, out),
        // Not subscribed, or of a later version of the schema.
        Frame::DepthSnapshot(_) | Frame::Unknown { .. } => Ok(()),
    }
}

fn say_trades(trades: &Trades<'_>, out: &mut Decoded) -> Result<(), Complaint> {
    for trade in trades.entries() {
        let trade = trade.map_err(complaint)?;
        let RawLevel { price, size } = raw(trade.level, trades.scale);
        let update = TradeUpdate {
            id: Some(id(trade.id)?),
            time: trades.transact_time,
            price,
            size,
            aggressor: if trade.buyer_is_maker { Aggressor::Sell } else { Aggressor::Buy },
            aggregated: false,
            past: false,
        };
        out.trade(trades.symbol, update);
    }
    Ok(())
}

fn say_quote(best: &BestBidAsk<'_>, out: &mut Decoded) -> Result<(), Complaint> {
    let side = |level| Part::At(raw(level, best.scale));
    let (bid, ask) = (side(best.bid), side(best.ask));
    out.quote(best.symbol, QuoteUpdate { id: id(best.update_id)?, time: best.event_time, bid, ask });
    Ok(())
}

fn say_depth(depth: &Depth<'_>, out: &mut Decoded) -> Result<(), Complaint> {
    let (first, last) = (id(depth.first)?, id(depth.last)?);
    out.book(depth.symbol, BookUpdate { first, last, time: depth.event_time, ..BookUpdate::default() });
    let read = |level: Result<Level, SbeError>| level.map_or(RawLevel { price: BAD, size: BAD }, |level| raw(level, depth.scale));
    for RawLevel { price, size } in depth.bids().map(read) {
        out.bid(price, size);
    }
    for RawLevel { price, size } in depth.asks().map(read) {
        out.ask(price, size);
    }
    Ok(())
}

fn raw(level: Level, scale: Scale) -> RawLevel {
    RawLevel { price: Number::new(level.price, scale.price_exponent), size: Number::new(level.size, scale.size_exponent) }
}

fn id(id: i64) -> Result<u64, Complaint> {
    u64::try_from(id).map_err(|_| "a negative id")
}

fn complaint(error: SbeError) -> Complaint {
    match error {
        SbeError::Short => "the frame ends before its message does",
        SbeError::Schema(_) => "a frame of another schema",
        SbeError::Symbol => "a symbol that is no text",
        SbeError::Value => "an exponent, a price, a size or a time that cannot be",
    }
}
