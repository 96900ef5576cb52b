//! Being let in: kubeconfigs, contexts, tokens and certificates that are rotated.
