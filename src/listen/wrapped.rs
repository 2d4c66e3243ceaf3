//! What the framework asks of a stream beside its bytes, passed on by a wrapper to the stream it wraps.
//!
//! Owns that list, once for all wrappers of `listen`. Reading, writing and peeking are the wrapper's own.

/// For a type `$wrapper<S>` that holds its stream in the field `stream`.
macro_rules! passes_on {
    ($wrapper:ident) => {
        #[async_trait::async_trait]
        impl<S: pingora::protocols::IO> pingora::protocols::Shutdown for $wrapper<S> {
            async fn shutdown(&mut self) {
                self.stream.shutdown().await;
            }
        }

        impl<S: pingora::protocols::IO> pingora::protocols::UniqueID for $wrapper<S> {
            fn id(&self) -> i32 {
                self.stream.id()
            }
        }

        impl<S: pingora::protocols::IO> pingora::protocols::Ssl for $wrapper<S> {
            fn get_ssl(&self) -> Option<&pingora::protocols::tls::TlsRef> {
                self.stream.get_ssl()
            }

            fn get_ssl_digest(&self) -> Option<std::sync::Arc<pingora::protocols::tls::SslDigest>> {
                self.stream.get_ssl_digest()
            }

            fn selected_alpn_proto(&self) -> Option<pingora::protocols::ALPN> {
                self.stream.selected_alpn_proto()
            }
        }

        impl<S: pingora::protocols::IO> pingora::protocols::GetTimingDigest for $wrapper<S> {
            fn get_timing_digest(&self) -> Vec<Option<pingora::protocols::TimingDigest>> {
                self.stream.get_timing_digest()
            }
        }

        impl<S: pingora::protocols::IO> pingora::protocols::GetProxyDigest for $wrapper<S> {
            fn get_proxy_digest(
                &self,
            ) -> Option<std::sync::Arc<pingora::protocols::raw_connect::ProxyDigest>> {
                self.stream.get_proxy_digest()
            }
        }

        impl<S: pingora::protocols::IO> pingora::protocols::GetSocketDigest for $wrapper<S> {
            fn get_socket_digest(&self) -> Option<std::sync::Arc<pingora::protocols::SocketDigest>> {
                self.stream.get_socket_digest()
            }
        }
    };
}

/// The `written` bytes at the start of `bufs`, piece by piece.
pub(super) fn written_of<'a>(
    bufs: &'a [std::io::IoSlice<'_>],
    written: usize,
) -> impl Iterator<Item = &'a [u8]> {
    let mut left = written;
    bufs.iter().map(move |buf| {
        let part = buf.get(..left.min(buf.len())).unwrap_or_default();
        left -= part.len();
        part
    })
}

pub(super) use passes_on;
