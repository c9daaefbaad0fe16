"""From one architecture to the next: operations, the path between two Specs, and the certificate of what it did.

operation      what an operation is: facts, a change of Spec, a lazy change of weights
view           tensor sources that read through other sources
fold_head, untie_head, expand_heads, group_heads, restate    the operations
key_value_heads    what expanding and grouping share
path           Spec difference -> operations, or one sentence why not
target         what --to may name
stream         a forward pass that holds one matrix at a time
windows        the tokens a certificate is measured on
measure        two models on the same windows
certificate    the record, and the check of the claim
carry_out      convert, check, write, measure
upgrade, heal  the whole from folder to folder; continued training and a second measurement
"""
