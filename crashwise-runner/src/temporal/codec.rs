//! Payloads on their way to the server.

use temporalio_common::data_converters::DataConverter;

/// The converter of payloads.
pub(super) fn converter(_key: Option<[u8; 32]>) -> DataConverter {
    DataConverter::default()
}
