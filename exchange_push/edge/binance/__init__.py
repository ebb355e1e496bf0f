"""What clients of Binance ask for (docs/reference/binance.md)."""
