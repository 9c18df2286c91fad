//! Every bound of the gateway, its reason, and how the bounds relate.
