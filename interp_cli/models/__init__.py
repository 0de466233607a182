"""The networks, one a file; `registry` names them."""
