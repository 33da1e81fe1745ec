"""The spans of a start, and the public functions that begin them."""

from typing import Final

START: Final = "interpreter starts"
REST: Final = "rest: command line, glue"
OURS: Final = "import infwasi_sign"
STANDARD: Final = "import standard library"
HASHED: Final = "5 model hashed"
EXIT: Final = "interpreter ends"
LIBRARIES: Final = frozenset({"blake3", "click", "cryptography"})

# (module in which the name is looked up, name in it, span)
WATCHED: Final = (
    ("infwasi_sign.cli.trusting", "choose_trust", "trust: key or policy"),
    ("infwasi_sign.cli.remembering", "open_memory", "state opened"),
    ("infwasi_sign.adapters.package_directory", "DirectoryStore.open", "1 package opened"),
    ("infwasi_sign.verify", "check_signatures", "2 signature"),
    ("infwasi_sign.verify", "parse_statement", "3 statement"),
    ("infwasi_sign.verify", "check_companion", "3 companion"),
    ("infwasi_sign.verify", "claim_facts", "4, 7 policy"),
    ("infwasi_sign.verify", "decide", "4, 7 policy"),
    ("infwasi_sign.verify", "decide_claims", "4, 7 policy"),
    ("infwasi_sign.verify", "decide_measured", "4, 7 policy"),
    ("infwasi_sign.verify", "measured_facts", "4, 7 policy"),
    ("infwasi_sign.adapters.guarded_file", "LocalFile.guard", "5 model guarded"),
    ("infwasi_sign.adapters.guarded_file", "LocalFile.read", "5 small files"),
    ("infwasi_sign.adapters.guarded_file", "LocalFile.measure", HASHED),
    ("infwasi_sign.verify", "agree", "6 agreement"),
    ("infwasi_sign.cli.verdicts", "accepted", "verdict"),
    ("infwasi_sign.cli.delivery", "Delivery.deliver", "verdict"),
    ("infwasi_sign.adapters.package_directory", "OpenedDirectory.close", "files closed"),
    ("infwasi_sign.adapters.confinement", "Confinement.before_measuring", "confined, stage 1"),
    # of a run:
    ("infwasi_sign.run", "plan", "limits"),
    ("infwasi_sign.adapters.background", "BackgroundHost.settle", "libraries awaited"),
    ("infwasi_sign.adapters.confinement", "Confinement.before_loading", "confined, stage 2"),
    ("infwasi_sign.adapters.llama", "LlamaBackend.load", "llama.cpp loads the model"),
    ("infwasi_sign.adapters.background", "BackgroundHost.run", "guest"),
    ("infwasi_sign.adapters.llama", "LlamaModel.start", "llama.cpp computes the prompt"),
)
