"""The language of Binance's clients (docs/reference/binance.md)."""
