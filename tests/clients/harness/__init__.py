"""What every case is made of: a gateway, a destination that counts, and the wire between a client and the gateway."""
