/* How the messages of a call are compressed; see docs/crpc.md, "Compression". */
#ifndef CRPC_COMPRESSION_H
#define CRPC_COMPRESSION_H

enum crpc_compression {
    CRPC_COMPRESSION_DEFAULT, /* as the server's or the channel's options say; there: none */
    CRPC_COMPRESSION_NONE,
    CRPC_COMPRESSION_GZIP,   /* RFC 1952 */
    CRPC_COMPRESSION_DEFLATE /* RFC 1950, which HTTP and gRPC call deflate */
};

#endif
