/* CRC-32C (Castagnoli), as RFC 3720 appendix B.4 and iSCSI, ext4 and gRPC's storage services use it. Any thread. */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Of len bytes. crc: 0 to begin with, or the value of the bytes before, so that a run may be given in pieces. */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);

/* The table-driven way, whatever the processor can do; for tests. */
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t len);

#endif
