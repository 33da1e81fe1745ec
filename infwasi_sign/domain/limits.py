"""Every bound in one place, each with its unit, its source and the reason for the number."""

from typing import Final

from infwasi_sign.quick_dataclass import dataclass

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Bounds on what outside bytes may make us do, with units in the names."""

    # --- package (docs/format.md section 2)
    bundle_bytes: int = 1 * MIB  # sigstore-go reads no larger bundle either
    bom_bytes: int = 16 * MIB  # 10,000 tensors' digests and a full modelCard stay below 2 MiB
    component_bytes: int = 64 * MIB  # componentize-py makes 18 MB; compile cost grows with size
    model_bytes: int = 4096 * GIB  # larger than any published GGUF by 4x
    package_files: int = 1024  # sigstore-go's bound on subjects
    file_name_bytes: int = 255  # NAME_MAX of Linux file systems
    signatures: int = 17  # the packer's and 16 counter-signatures

    # --- OMS signatures of model directories (docs/oms.md)
    oms_bundle_bytes: int = 16 * MIB  # base64 of the payload, and certificates
    oms_payload_bytes: int = 11 * MIB  # so many resources with names of 150 bytes
    oms_resources: int = 32_768  # files; the largest published model directories have about 2,000
    oms_ignored_paths: int = 256
    oms_path_bytes: int = 4095  # PATH_MAX of Linux less its NUL
    oms_path_depth: int = 32  # names in a path
    oms_certificates: int = 10  # the leaf and its intermediates; public chains have 2 to 4
    oms_attestations: int = 32  # timestamps; sigstore-go's bound

    # --- certificates and logs (sigstore-go's bounds where it has one)
    certificate_bytes: int = 64 * KIB  # Fulcio's have 1 to 2 KiB
    timestamp_bytes: int = 64 * KIB  # a token with its certificates has 1 to 6 KiB
    timestamps: int = 32
    certificate_chain: int = 8  # beside the leaf; cryptography builds no longer chain either
    certificate_file_bytes: int = 256 * KIB  # as PEM, chains have below 20 KiB
    timestamp_wait_seconds: float = 10.0  # for each step of an authority's answer
    timestamp_total_seconds: float = 30.0  # for all of it
    log_hashes: int = 64  # of an inclusion proof: a tree of 2^64 leaves
    log_words_bytes: int = 64  # kind and version of an entry
    trust_root_bytes: int = 1 * MIB  # that of the public instance has 20 KiB
    trust_root_entries: int = 64  # authorities of one kind; the public instances have at most 4
    tuf_root_bytes: int = 500 * KIB  # python-tuf's bound
    tuf_wait_seconds: int = 10  # for each step of a repository's answer
    tuf_total_seconds: float = 60.0  # for all answers; about ten files of below 20 KiB
    sigstore_total_seconds: float = 120.0  # for a certificate, log entry and timestamp; 1 to 10 s
    token_bytes: int = 64 * KIB  # OIDC tokens of pipelines have 2 to 4 KiB

    # --- JSON (bundle, statement, BOM)
    json_depth: int = 32  # CycloneDX nests components; ours nest 6 deep
    json_integer: int = 2**53 - 1  # RFC 8785 section 3.2.2.3, RFC 7493 section 2.2

    # --- ML-BOM, of ours and of others (docs/ml-bom.md)
    bom_xml_elements: int = 500_000  # a JSON BOM of 16 MiB with short values has about as many
    bom_xml_depth: int = 64  # XML has up to two elements where JSON has a level
    bom_separators: int = 500_000  # commas of one that is signed; so many values take 0.2 s to read
    bom_objects: int = 200_000  # of JSON; an SBOM of 10,000 components has about 100,000
    bom_components: int = 20_000  # each takes 1 ms and 20 KiB to convert
    bom_schema_pairs: int = 8_000_000  # of items of lists; the validator compares each: 10 s
    bom_schema_address_characters: int = 200_000  # of URLs; its grammar takes 0.2 ms each: 40 s
    html_bytes: int = 64 * MIB  # of a page; that of SmolLM2 has 0.1 MiB, 10,000 components 15 MiB
    html_components: int = 10_000  # shown of a BOM; browsers still lay these out within seconds
    html_items: int = 200  # shown of any other list, as imports, properties or vulnerabilities
    html_text_characters: int = 16 * KIB  # shown of one text; templates have up to 30 KiB
    html_short_characters: int = 240  # of them at first sight: three lines

    # --- GGUF header (docs/format.md section 6)
    gguf_header_bytes: int = 256 * MIB  # the largest known (262k-token vocabularies) are 16 MiB
    gguf_metadata_pairs: int = 65_536
    gguf_tensors: int = 65_536  # the largest mixture-of-experts models have about 4,000
    gguf_array_elements: int = 16_777_216
    gguf_string_bytes: int = 16 * MIB
    gguf_key_bytes: int = 65_535  # gguf.md: "up to at most 2^16-1 bytes long"
    gguf_array_depth: int = 4
    chat_template_bytes: int = 256 * KIB  # the longest published one is about 30 KiB

    # --- ML-BOM
    general_keys: int = 1024  # `general.*`; a merge of 100 models with all about them has 900
    general_text_bytes: int = 16 * KIB  # of one as text; descriptions have below 2 KiB
    general_total_bytes: int = 256 * KIB  # of all, keys included; they stand in the BOM
    general_numbered: int = 256  # base models or datasets
    bom_tools: int = 64  # that shaped a package; ours are four
    bom_tool_characters: int = 256  # of the name or version of one

    # --- component binary
    component_sections: int = 100_000
    component_depth: int = 16
    component_nested: int = 1024
    component_names: int = 100_000  # imports and exports; the stock app has about 100
    component_names_bytes: int = 2 * MIB  # of them and of producers together; each costs 0.5 us

    # --- expressions of a policy (docs/adr: "Expressions are a bounded part of CEL")
    expressions: int = 64  # of a policy; each takes about a millisecond to compile
    expression_bytes: int = 2048  # four times the longest that people would want to read
    expression_elements: int = 256  # of a list; the longest facts have about 30
    expression_text_bytes: int = 4096  # of a fact; digests and names have below 256
    expression_pattern_bytes: int = 128  # of a regular expression
    expression_steps: int = 2_000_000  # of all expressions together; about 0.1 s

    # --- code of a component (domain/component_code.py has the reason)
    function_bytes: int = 512 * KIB  # componentize-py makes one of 417 KiB
    function_local_bytes: int = 100_000_000  # locals x bytes: 0.8 s, 300 MiB; tools make 23 million

    # --- ML-BOM
    declared_name_characters: int = 256  # of a name; Hugging Face's are below 100
    declared_text_characters: int = 4096  # of a description: a page and a half
    declared_url_characters: int = 2048  # what browsers and proxies take at least
    declared_list: int = 64  # entries of a list
    declared_rows: int = 64  # tables of an array; the longest known list of datasets has 40
    declared_metrics: int = 1024  # cards of embedding models list hundreds of benchmarks
    declared_vulnerabilities: int = 1024  # of a VEX document that is attached
    vex_bytes: int = 4 * MIB  # of a VEX document; 1024 statements with a page each
    vex_products: int = 256  # of a statement; a vendor lists all versions of a product
    vex_name_bytes: int = 2048  # of a product or vulnerability; a package URL is one
    vex_text_bytes: int = 4096  # of one text of a statement
    front_matter_bytes: int = 256 * KIB  # the largest cards with benchmarks have about 250
    front_matter_depth: int = 12  # `model-index` with its values nests 9 deep
    declared_bytes: int = 1 * MIB  # of all texts together, UTF-8; so they fit into a BOM twice

    # --- settings and infwasi.toml
    toml_bytes: int = 1 * MIB
    settings_bytes: int = 1 * MIB
    stop_strings: int = 16
    stop_string_bytes: int = 256

    # --- keys
    key_file_bytes: int = 64 * KIB
    passphrase_bytes: int = 1024
    key_reference_bytes: int = 4096  # a path (PATH_MAX of Linux), or what names a key elsewhere
    pkcs11_module_bytes: int = 64 * MIB  # SoftHSM's is 1 MiB, the largest of vendors' about 20
    public_key_bytes: int = 8 * KIB  # what a plug-in may hand over; an RSA-16384 key has 2 KiB
    signature_bytes: int = 8 * KIB  # likewise; ours have at most 72

    # --- what was accepted before (per policy; pins count alike)
    state_packages: int = 4096  # far more than any site runs
    state_bytes: int = 1 * MIB  # so many of the longest records are below it

    # --- files that were hashed before (docs/adr/0020-verified-identity-cache.md)
    identity_hours: int = 24  # what changed without a trace is noticed within a day
    identity_records: int = 64  # of 220 bytes; no machine runs so many models in a day

    # --- compiled components (the cache of this user on this machine)
    compiled_bytes: int = 512 * MIB  # code of one; componentize-py's 18 MB become about 60 MiB
    compiled_total_bytes: int = 2 * GIB  # of all together
    compiled_entries: int = 64  # components times versions of wasmtime that are in use

    # --- landmarks of GGUF headers (the same cache)
    landmark_entries: int = 64  # models; 1.5 KiB each at most

    # --- running a guest (defaults; the package states its own, the caller narrows)
    wasm_memory_bytes: int = 16 * MIB  # per memory; the stock parts use below 1 MiB
    package_memory_bytes: int = 1 * GIB  # what a user's component may be granted at most
    wasm_memories: int = 8  # wit-component shims make 3 for the stock app
    wasm_instances: int = 256  # componentize-py makes 43, and one more for each native library
    wasm_tables: int = 16  # it and componentize-js make 4
    wasm_table_elements: int = 65_536  # per table, of 8 bytes; they make 5,680 and 7,698
    prompt_bytes: int = 256 * KIB  # below the 2.67 MiB at which list<u8> exhausts hostcall fuel
    output_bytes: int = 1 * MIB
    max_tokens: int = 4096
    context_tokens: int = 131_072
    wall_clock_seconds: int = 600
    trial_seconds: int = 60  # for one answer when a component is measured; it takes 0.2 s
    handles: int = 4096  # live wasi:nn resources of one guest
    tensor_bytes: int = 576 * KIB  # held by one guest: a system and a user text, and the options
    list_elements: int = 4096  # of one list that a guest gives; one that is bytes has tensor_bytes
    host_memory_bytes: int = 4096 * GIB  # of the process; the machine has less, and that counts
    grace_seconds: float = 1.0  # from stop request to the process ending itself


LIMITS: Final = Limits()
