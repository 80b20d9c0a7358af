/**
 * The connection marks that are ours: `0x54nnnnnn`, and `0x55nnnnnn` for those whose sender is hidden from the backend. In nftables the
 * other three bytes number the backend.
 */
export const keepBase = 0x54000000;
export const masqueradeBase = 0x55000000;
